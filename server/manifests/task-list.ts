import { faultOfImageReference } from './image-reference.ts';
import { positionOf } from './yaml-documents.ts';
import {
  integer,
  json,
  list,
  noted,
  notedKeys,
  object,
  optional,
  type Reader,
  record,
  refined,
  required,
  scalarText,
  text,
  type YamlValue,
} from './yaml-reader.ts';

/** What a template says once it is YAML: the field names are Tinkerbell's, the times are seconds. */
export interface TaskList {
  readonly name: string;
  readonly global_timeout?: number;
  readonly tasks: readonly Task[];
}

export interface Task {
  readonly name: string;
  readonly worker: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly actions: readonly Action[];
}

export interface Action {
  readonly name: string;
  readonly image: string;
  readonly timeout?: number;
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly retries?: number;
}

/** The longest time that a timer can wait for, in seconds: 2³¹ milliseconds, 24 days. */
const LONGEST_TIMEOUT = 2_147_483;

/** Tinkerbell takes these commands in and never runs them; a workflow that counts on them should know. */
const handler: Reader<readonly string[]> = refined(list(scalarText()), (commands, value) => {
  if (commands.length > 0) noteHandler(value);
  return commands;
});

/** Reads the output of a template: every value is final. Scalars become text as Tinkerbell's decoder makes it. */
export const readRenderedTaskList: Reader<TaskList> = taskListReader((check) => scalarText(check));

/** Reads a TinkerbellTemplateConfig's template: texts may have holes (`{{`) and are then checked when it is rendered. */
export const readTaskListWithHoles: Reader<TaskList> = taskListReader((check) =>
  text((written) => (hasHole(written) ? undefined : check(written))),
);

/** Whether a text is still to be filled in. */
export function hasHole(written: string): boolean {
  return written.includes('{{');
}

function taskListReader(leaf: (check: Check) => Reader<string>): Reader<TaskList> {
  const anything = leaf(() => undefined);
  const environment = noted(notedKeys(record(anything, faultOfVariable)));
  const action = object({
    name: required(noted(leaf(faultOfTitle))),
    image: required(noted(leaf(faultOfImageReference))),
    timeout: optional(integer(0, LONGEST_TIMEOUT)),
    command: optional(list(anything)),
    'on-timeout': optional(handler),
    'on-failure': optional(handler),
    volumes: optional(list(anything)),
    environment: optional(environment),
    pid: optional(anything),
    namespaces: optional(json()),
    retries: optional(integer(0, 100)),
  });
  const task = object({
    name: required(noted(leaf(faultOfTitle))),
    worker: required(noted(leaf(faultOfWorker))),
    volumes: optional(list(anything)),
    environment: optional(environment),
    actions: required(noted(list(action))),
  });
  return object({
    version: optional(scalarText()),
    name: required(leaf(faultOfTitle)),
    id: optional(scalarText()),
    global_timeout: optional(integer(0, LONGEST_TIMEOUT)),
    tasks: required(noted(list(task))),
  });
}

type Check = (written: string) => string | undefined;

function noteHandler(value: YamlValue): void {
  const { scope, path } = value;
  scope.findings.warn(
    positionOf(scope, value.node),
    `${path} is never run (Tinkerbell does not run it either): make it an action of its own`,
  );
}

function faultOfTitle(name: string): string | undefined {
  if (name === '') return 'is empty: use 1 to 199 characters';
  return name.length > 199 ? `has ${name.length} characters: use 1 to 199` : undefined;
}

function faultOfWorker(worker: string): string | undefined {
  return worker.trim() === '' ? 'is empty: name the machine, for example "{{.device_1}}"' : undefined;
}

function faultOfVariable(name: string): string | undefined {
  return /^[^=\0]+$/.test(name) ? undefined : 'is not the name of an environment variable: use letters, digits and "_"';
}
