import type { FaultPart } from '../fault-run.ts';
import { agentKill } from './agent-kill.ts';
import { badDisk } from './bad-disk.ts';
import { hostileServer } from './hostile-server.ts';
import { serverKill } from './server-kill.ts';
import { thinPool } from './thin-pool.ts';

/** Faults of the write path that need no virtual machine. */
export const HOST_PARTS: readonly FaultPart[] = [hostileServer, agentKill, serverKill, badDisk, thinPool];
