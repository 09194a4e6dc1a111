/** Workflow, `tinkerbell.org/v1alpha1`: a template rendered for hardware, and its run. */
export interface WorkflowManifest {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly spec: WorkflowSpec;
}

export interface WorkflowSpec {
  readonly templateRef: string;
  /** Name of a Hardware. One of `hardwareRef`, `hardwareSelector` or a hardwareMap whose value names a machine is needed. */
  readonly hardwareRef?: string;
  /** Ours, optional: labels of a Hardware that has no unfinished workflow; the first by name is taken. */
  readonly hardwareSelector?: Readonly<Record<string, string>>;
  /** Values for the template, at top level: `device_1` and the like. */
  readonly hardwareMap: Readonly<Record<string, string>>;
  readonly disabled?: boolean;
  readonly bootOptions?: {
    readonly toggleAllowNetboot?: boolean;
    readonly bootMode?: string;
    readonly isoURL?: string;
  };
}
