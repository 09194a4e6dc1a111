import type { Problem } from '#proto/errors.ts';
import type { ApiClient } from './api-client.ts';
import type { Terminal } from './terminal.ts';

/** One option of a command. Long names are kebab-case. */
export interface OptionSpec {
  readonly type: 'string' | 'boolean';
  readonly short?: string;
  /** May be given more than once. */
  readonly multiple?: boolean;
  /** What stands for the value in the help: `FILE`. */
  readonly value?: string;
  readonly choices?: readonly string[];
  readonly summary: string;
}

/** One command; the reference text, the help and the completion scripts are made from these. */
export interface Command {
  /** Its words: `workflow cancel`. */
  readonly name: string;
  /** Positional arguments as shown in the usage line; empty: none. */
  readonly arguments: string;
  /** Fewest and most positional arguments. */
  readonly takes: readonly [fewest: number, most: number];
  /** What the first argument may be, for completion and suggestions. */
  readonly firstArgument?: readonly string[];
  readonly summary: string;
  readonly options: Readonly<Record<string, OptionSpec>>;
  readonly examples: readonly string[];
  /** Resolves to the exit code. A failure is a thrown TinsmithError; its exit code comes from the error table. */
  run(context: CommandContext, input: CommandInput): Promise<number>;
}

/** What was typed, after it was checked against the command's options. */
export interface CommandInput {
  readonly positionals: readonly string[];
  text(option: string): string | undefined;
  texts(option: string): readonly string[];
  has(option: string): boolean;
}

export interface CommandContext {
  readonly out: Terminal;
  /** Client of the server that the options and the environment name. Nothing is read or sent before the first call. */
  readonly api: ApiClient;
  readonly parts: CommandParts;
  /** All commands, for help and completion. */
  readonly commands: readonly Command[];
  readonly signal: AbortSignal;
  readonly now: () => Date;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly readStandardInput: () => Promise<string>;
  /** Asks who sits at the terminal; absent: nobody does. */
  readonly ask?: (question: string) => Promise<string>;
}

/** What commands need of the server's own code; main.ts hands it in, because the CLI is a client of the API only. */
export interface CommandParts {
  readonly version: string;
  readonly settings: readonly SettingSpec[];
  /** Runs the server until the signal. `flags`: setting flag → text. */
  serve(flags: Readonly<Record<string, string | undefined>>, signal: AbortSignal): Promise<void>;
  /** Checks manifests by themselves, without a server. `actionsMap`: a site's own names of actions. */
  validate(files: readonly ManifestFile[], actionsMap?: ManifestFile): Promise<Validation>;
  buildInitramfs(request: InitramfsRequest, signal: AbortSignal): Promise<InitramfsResult>;
  readonly generate: GenerateParts;
}

/** Makes files to begin with; needs no server. Throws `invalid_input` where the result would not be valid. */
export interface GenerateParts {
  /** JSON Schemas: of all kinds in one, and of each kind by its name. */
  schemas(): Promise<{ readonly combined: object; readonly kinds: ReadonlyMap<string, object> }>;
  clusterConfig(options: ClusterConfigOptions): Promise<string>;
  /** The text may hold passwords. */
  hardware(file: ManifestFile): Promise<{ readonly text: string; readonly warnings: readonly Problem[] }>;
  templates(files: readonly ManifestFile[], options: TemplateOptions): Promise<string>;
}

export interface ClusterConfigOptions {
  readonly name: string;
  readonly endpoint: string;
  readonly tinkerbellIP: string;
  readonly osFamily?: string;
  readonly kubernetesVersion?: string;
  readonly controlPlaneCount?: string;
  readonly workerCount?: string;
  readonly image?: string;
  readonly sshKey?: string;
}

export interface TemplateOptions {
  readonly osFamily?: string;
  readonly group?: string;
  readonly metadataUrl?: string;
}

export interface SettingSpec {
  readonly flag: string;
  readonly variable: string;
  readonly type: string;
  readonly fallback: string;
  readonly summary: string;
}

export interface ManifestFile {
  /** As the user gave it; `-` for standard input. */
  readonly name: string;
  readonly text: string;
}

export interface Validation {
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
  readonly counts: {
    readonly hardware: number;
    readonly templates: number;
    readonly workflows: number;
    readonly clusters: number;
  };
}

export interface InitramfsRequest {
  readonly out: string;
  readonly kernel?: string;
  readonly vmlinuz?: string;
  readonly modules?: string;
  readonly agent?: string;
  readonly add: readonly string[];
  /** Packages of optional tools. */
  readonly omit: readonly string[];
  readonly arch?: string;
  /** `zstd`, `gzip` or `none`, optionally with a level: `zstd:19`. */
  readonly compression?: string;
  /** Told what is being done, one line a step. */
  report(step: string): void;
}

export interface InitramfsResult {
  readonly files: readonly { readonly path: string; readonly sizeBytes: number }[];
}
