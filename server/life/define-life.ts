import { TinsmithError } from '#proto/errors.ts';

/** A table state → event → next state. A state without events is final. */
type LifeTable<State extends string> = { readonly [S in State]: Readonly<Record<string, State>> };

export interface Life<State extends string, Event extends string> {
  /** The state after `event`. Throws `illegal_transition` if the table has no such step. */
  next(state: State, event: Event): State;
  allows(state: State, event: Event): boolean;
  isFinal(state: State): boolean;
  readonly states: readonly State[];
}

type EventsOf<T> = { [S in keyof T]: keyof T[S] }[keyof T] & string;

/** Makes a life from its table; a target that is no state of the table does not compile. */
export function defineLife<const T extends Readonly<Record<string, Readonly<Record<string, keyof T & string>>>>>(
  name: string,
  table: T & LifeTable<keyof T & string>,
): Life<keyof T & string, EventsOf<T>> {
  type State = keyof T & string;
  const steps = new Map<string, Map<string, State>>();
  for (const [state, events] of Object.entries<Readonly<Record<string, State>>>(table)) {
    steps.set(state, new Map(Object.entries(events)));
  }
  return {
    next(state, event) {
      const target = steps.get(state)?.get(event);
      if (target === undefined)
        throw new TinsmithError('illegal_transition', `a ${name} that is ${state} cannot ${event}`);
      return target;
    },
    allows: (state, event) => steps.get(state)?.has(event) ?? false,
    isFinal: (state) => steps.get(state)?.size === 0,
    states: [...steps.keys()] as State[],
  };
}
