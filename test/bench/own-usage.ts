import { readFileSync } from 'node:fs';

/** What this process took so far. The peak is that of its own memory: `getrusage` counts what its parent held when it was started. */
export function ownUsage(): { readonly peakRssMiB: number; readonly cpuSeconds: number } {
  const peak = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  if (peak === undefined) throw new Error('/proc/self/status has no VmHWM');
  const { userCPUTime, systemCPUTime } = process.resourceUsage();
  return { peakRssMiB: Number(peak) / 1024, cpuSeconds: (userCPUTime + systemCPUTime) / 1e6 };
}
