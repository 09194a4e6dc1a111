import type { TurnInLine } from './turn-in-line.ts';

/** Why no byte comes now. It holds until bytes come, or until another one is told. */
export type Standstill =
  /** The server works and serves others first: no failure. `heldMs`: how long it held the request before it said so. */
  | { readonly kind: 'inLine'; readonly turn: TurnInLine; readonly heldMs: number }
  /** The turn has come. */
  | { readonly kind: 'served' }
  /** It is tried again; one phrase, which may hold a URL. */
  | { readonly kind: 'trouble'; readonly text: string };

/** Whom a transfer tells what it does, besides bytes. */
export interface TransferEvents {
  readonly log: (text: string) => void;
  readonly standstill?: ((why: Standstill) => void) | undefined;
}
