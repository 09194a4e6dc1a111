import { type ActionName, catalog } from '#proto/actions/catalog.ts';
import { InvalidParamError } from '#proto/actions/environment.ts';
import { TinsmithError } from '#proto/errors.ts';
import { builtInOf } from './action-images.ts';
import { type Position, shown } from './findings.ts';
import { type Action, hasHole, type Task, type TaskList } from './task-list.ts';
import { positionOf } from './yaml-documents.ts';
import type { YamlValue } from './yaml-reader.ts';

/**
 * Checks what no single field can tell: unique names, built-in images, environments that their actions understand, and
 * that nothing follows a restart. `root` is the value that the list was read from. What still has holes is passed over.
 */
export function checkTaskList(taskList: TaskList, root: YamlValue): void {
  const tasksPath = root.path === '' ? 'tasks' : `${root.path}.tasks`;
  if (taskList.tasks.length === 0) refuseAt(root, tasksPath, `${tasksPath} is empty: add at least one task`);
  checkUnique(taskList.tasks, 'task', root, tasksPath);
  for (const [index, task] of taskList.tasks.entries()) checkTask(task, root, `${tasksPath}[${index}]`);
}

/** Actions after which the machine is gone: nothing of the same task can follow. */
const LAST_ACTIONS: readonly ActionName[] = ['reboot', 'kexec'];

function checkTask(task: Task, root: YamlValue, path: string): void {
  const actionsPath = `${path}.actions`;
  if (task.actions.length === 0) refuseAt(root, actionsPath, `${actionsPath} is empty: add at least one action`);
  checkUnique(task.actions, 'action', root, actionsPath);
  for (const [index, action] of task.actions.entries()) {
    const actionPath = `${actionsPath}[${index}]`;
    if (hasHole(action.image)) continue;
    const name = checkImage(action, root, actionPath);
    if (name === undefined) continue;
    const isLast = index === task.actions.length - 1;
    if (LAST_ACTIONS.includes(name) && !isLast) {
      const fix = 'make it the last action of its task';
      refuseAt(root, `${actionPath}.image`, `the action ${shown(action.name)} (${name}) is followed by others: ${fix}`);
    }
    checkEnvironment(task, action, name, { root, task: path, action: actionPath });
  }
}

function checkImage(action: Action, root: YamlValue, path: string): ActionName | undefined {
  try {
    return builtInOf(action.image, root.scope.actionImages);
  } catch (thrown) {
    const { code, message } = TinsmithError.from(thrown);
    if (code === 'internal') throw thrown;
    refuseAt(root, `${path}.image`, `the action ${shown(action.name)}: ${message}`, action.image);
    return undefined;
  }
}

/** Paths of a task and of one of its actions, and what they were read from. */
interface ActionPlace {
  readonly root: YamlValue;
  readonly task: string;
  readonly action: string;
}

function checkEnvironment(task: Task, action: Action, name: ActionName, at: ActionPlace): void {
  const environment = { ...task.environment, ...action.environment };
  const command = action.command ?? [];
  if ([...Object.values(environment), ...command].some(hasHole)) return;
  try {
    catalog[name].parse(environment, command);
  } catch (thrown) {
    const { code, message } = TinsmithError.from(thrown);
    if (code === 'internal') throw thrown;
    refuseAt(at.root, pathOfFault(thrown, action, at), `the action ${shown(action.name)} (${name}): ${message}`);
  }
}

/** Where the variable stands that an action refuses, or the action where it lacks one. */
function pathOfFault(thrown: unknown, action: Action, at: ActionPlace): string {
  if (thrown instanceof InvalidParamError) {
    const places = [at.action, at.task].map((path) => `${path}.environment.${thrown.variable}`);
    return places.find((path) => at.root.scope.fields.has(path)) ?? `${at.action}.name`;
  }
  return action.environment === undefined ? `${at.action}.name` : `${at.action}.environment`;
}

function checkUnique(items: readonly { readonly name: string }[], kind: string, root: YamlValue, path: string): void {
  const seen = new Set<string>();
  for (const [index, { name }] of items.entries()) {
    if (hasHole(name)) continue;
    const fix = 'give each its own name';
    if (seen.has(name))
      refuseAt(root, `${path}[${index}].name`, `the ${kind} name ${shown(name)} is there twice: ${fix}`, name);
    seen.add(name);
  }
}

function refuseAt(root: YamlValue, path: string, message: string, written?: string): void {
  const at: Position = root.scope.fields.get(path) ?? positionOf(root.scope, root.node);
  root.scope.findings.refuse(at, message, written);
}
