/** Template (`tinkerbell.org/v1alpha1`) and TinkerbellTemplateConfig (`anywhere.eks.amazonaws.com/v1alpha1`). */
export interface TemplateManifest {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  /** The Go template whose output is the YAML of a task list (a TinkerbellTemplateConfig is serialised to that). */
  readonly data: string;
  readonly source: 'Template' | 'TinkerbellTemplateConfig';
}

/** What a template renders to: the tasks of a workflow, checked and with defaults applied. */
export interface RenderedTemplate {
  readonly name: string;
  /** Milliseconds for the whole workflow; undefined: no limit. */
  readonly globalTimeoutMs?: number;
  readonly tasks: readonly RenderedTask[];
}

export interface RenderedTask {
  readonly name: string;
  /** Agent identity: a MAC, a Hardware name or its agentID. */
  readonly worker: string;
  readonly actions: readonly RenderedAction[];
}

export interface RenderedAction {
  readonly name: string;
  /** Image reference as written. */
  readonly image: string;
  /** Milliseconds; a missing or zero `timeout` becomes the default of the configuration. */
  readonly timeoutMs: number;
  /** Task environment overlaid by action environment. */
  readonly environment: Readonly<Record<string, string>>;
  readonly command: readonly string[];
  /** How often the action is tried again on the machine after a failure; our optional field `retries`, default 0. */
  readonly retries: number;
}
