const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** `0.3s`, `12.4s`, `2m31s`, `1h04m`, `3d05h`. */
export function durationText(ms: number): string {
  const value = Math.max(0, ms);
  if (value < 59_950) return `${(value / SECOND).toFixed(1)}s`;
  const seconds = Math.round(value / SECOND);
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m${pad(seconds % 60)}s`;
  if (value < DAY) return `${Math.floor(value / HOUR)}h${pad(Math.floor((value % HOUR) / MINUTE))}m`;
  return `${Math.floor(value / DAY)}d${pad(Math.floor((value % DAY) / HOUR))}h`;
}

/** One unit, for columns: `12s`, `5m`, `3h`, `8d`. */
export function ageText(ms: number): string {
  const value = Math.max(0, ms);
  if (value < 2 * MINUTE) return `${Math.floor(value / SECOND)}s`;
  if (value < 2 * HOUR) return `${Math.floor(value / MINUTE)}m`;
  if (value < 2 * DAY) return `${Math.floor(value / HOUR)}h`;
  return `${Math.floor(value / DAY)}d`;
}

/** Binary units: `512 B`, `1.4 GiB`. */
export function sizeText(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let value = Math.max(0, bytes);
  let unit = 0;
  while (value >= 1023.95 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit] ?? 'B'}`;
}

/** Bytes as sizes, everything else as a count with its unit. */
export function amountText(amount: number, unit: string): string {
  return unit === 'bytes' || unit === '' ? sizeText(amount) : `${Math.round(amount)} ${unit}`;
}

/** Local-independent time of day: `11:02:03`, UTC. */
export function clockText(iso: string): string {
  return iso.slice(11, 19);
}

function pad(value: number): string {
  return String(value).padStart(2, '0');
}
