import { TinsmithError } from '#proto/errors.ts';
import type { AgentSession } from '../provision/engine.ts';
import type { Change } from './change.ts';
import type { StoredSequence } from './transitions-contract.ts';

/** Sessions that are remembered of one machine: enough for an agent that comes back late. */
const KEPT_SESSIONS = 8;

/** Notes that an agent opened its stream. False: it was open already. Throws `forbidden` for a session of another machine. */
export async function openSession({ trx, at }: Change, agent: AgentSession): Promise<boolean> {
  const { session, hardware, bootId, agentVersion, from } = agent;
  const known = await trx.selectFrom('agent_session').selectAll().where('session', '=', session).executeTakeFirst();
  if (known !== undefined) {
    if (known.hardware !== hardware) throw foreignSession(hardware);
    if (known.disconnected_at === null) return false;
    await trx
      .updateTable('agent_session')
      .set({ disconnected_at: null, connected_at: at.getTime(), address: from })
      .where('session', '=', session)
      .execute();
    return true;
  }
  await trx
    .insertInto('agent_session')
    .values({
      session,
      hardware,
      boot_id: bootId,
      agent_version: agentVersion,
      address: from,
      connected_at: at.getTime(),
      acknowledged: 0,
      leaving: 0,
    })
    .execute();
  const old = trx
    .selectFrom('agent_session')
    .select('session')
    .where('hardware', '=', hardware)
    .orderBy('connected_at', 'desc')
    .limit(1_000)
    .offset(KEPT_SESSIONS);
  await trx.deleteFrom('agent_session').where('session', 'in', old).where('session', '!=', session).execute();
  return true;
}

/**
 * Remembers the sequence of a report in the transaction that stores it. False: it is stored already, a report that arrives
 * twice changes nothing. Throws `forbidden` for a session of another machine.
 */
export async function noteSequence({ trx }: Change, stored: StoredSequence): Promise<boolean> {
  const { session, sequence, hardware } = stored;
  const known = await trx
    .selectFrom('agent_session')
    .select(['hardware', 'acknowledged'])
    .where('session', '=', session)
    .executeTakeFirst();
  if (known === undefined || known.hardware !== hardware) throw foreignSession(hardware);
  if (sequence <= known.acknowledged) return false;
  await trx.updateTable('agent_session').set({ acknowledged: sequence }).where('session', '=', session).execute();
  return true;
}

/** The machine goes down when its agent's reports are stored: no more work for this session. */
export async function markLeaving({ trx }: Change, session: string): Promise<void> {
  await trx.updateTable('agent_session').set({ leaving: 1 }).where('session', '=', session).execute();
}

function foreignSession(hardware: string): TinsmithError {
  return new TinsmithError('forbidden', `an agent of Hardware ${hardware} named a session that is not its own`);
}
