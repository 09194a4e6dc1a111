/**
 * What both sides know of an action. The server refuses a workflow whose environment does not parse, before anything
 * runs; the agent parses the same environment again on the machine.
 */
export interface ActionDeclaration<Params> {
  /** One sentence for `tinsmith` help and the generated reference. */
  readonly summary: string;
  /** True if the action may run again from its start after a crash at any point of an earlier try. */
  readonly repeatable: boolean;
  /** Every environment name that it reads, with one sentence each. Others are ignored, as Tinkerbell does. */
  readonly environment: Readonly<Record<string, string>>;
  /** What is otherwise than in the published action of this name, a sentence each: for the generated reference. */
  readonly fixes?: readonly string[];
  /** Names whose values may be secret: redacted wherever an environment is shown. */
  readonly secrets?: readonly string[];
  /** Throws TinsmithError('invalid_params') that names the variable, its value and the fix. */
  parse(environment: Readonly<Record<string, string>>, command: readonly string[]): Params;
}
