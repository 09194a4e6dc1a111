import { isMap } from 'yaml';
import { catalog } from '#proto/actions/catalog.ts';
import type { ActionDeclaration } from '#proto/actions/declaration.ts';
import { type Problem, TinsmithError } from '#proto/errors.ts';
import { type ActionImages, keptImage } from './action-images.ts';
import { Findings, shown } from './findings.ts';
import { renderTemplate } from './go-template/go-template.ts';
import { type Action, readRenderedTaskList, type TaskList } from './task-list.ts';
import { checkTaskList } from './task-list-checks.ts';
import { type TemplateSubject, templateData } from './template-data.ts';
import type { RenderedAction, RenderedTask, RenderedTemplate, TemplateManifest } from './template-kind.ts';
import { parseYaml } from './yaml-documents.ts';
import type { YamlValue } from './yaml-reader.ts';

/** A workflow about to be rendered. */
export interface RenderRequest extends TemplateSubject {
  /** Name of the workflow, for messages. */
  readonly workflow: string;
  readonly template: TemplateManifest;
  /** Name of the Hardware that an agent identity (MAC in any notation, name or agentID) belongs to. */
  readonly resolveWorker: (identity: string) => string | undefined;
}

export interface RenderDefaults {
  /** For actions without a timeout. */
  readonly actionTimeoutMs: number;
  /** A site's own names of actions. */
  readonly actionImages?: ActionImages;
}

export interface RenderResult {
  /** Missing when there are problems. */
  readonly rendered?: RenderedTemplate;
  /** Hardware of each task, in task order. */
  readonly hardware: readonly string[];
  /** Their file is `Template NAME for Workflow NAME, rendered`; lines and columns are those of the rendered text, and the line is quoted. */
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}

/** Renders a template and checks that what comes out can run. Never throws for what the template says. */
export function renderWorkflow(request: RenderRequest, defaults: RenderDefaults): RenderResult {
  const { template } = request;
  const findings = new Findings();
  const file = `Template ${template.name} for Workflow ${request.workflow}`;
  let text: string;
  try {
    text = renderTemplate(template.data, templateData(request), { name: template.name });
  } catch (thrown) {
    const error = TinsmithError.from(thrown);
    if (error.code === 'internal') throw error;
    const { line = 0, column = 0 } = error.problems[0] ?? {};
    const message = `cannot render it: ${error.problems[0]?.message ?? error.message}`;
    return { hardware: [], problems: [{ file, line, column, message }], warnings: [] };
  }
  const read = readTasks({ name: `${file}, rendered`, text }, findings, defaults.actionImages);
  const hardware = read === undefined ? [] : resolveWorkers(read.taskList, read.root, request.resolveWorker);
  const problems = quoteLines(findings.problems, text, request);
  // A TinkerbellTemplateConfig's warnings were given where it stands in its file.
  const warnings = template.source === 'Template' ? findings.warnings : [];
  if (read === undefined || problems.length > 0) return { hardware, problems, warnings };
  return { rendered: toRendered(read.taskList, defaults), hardware, problems, warnings };
}

function readTasks(
  file: { readonly name: string; readonly text: string },
  findings: Findings,
  actionImages: ActionImages | undefined,
): { taskList: TaskList; root: YamlValue } | undefined {
  const whole = { file: file.name, line: 0, column: 0 };
  const [document, second] = parseYaml(file, findings, actionImages);
  if (document === undefined) {
    if (findings.problemCount === 0) findings.refuse(whole, 'nothing comes out of it: write name and tasks');
    return undefined;
  }
  if (second !== undefined) findings.refuse(whole, 'several documents come out of it: remove the "---" between them');
  const root = { node: document.root, scope: document.scope, path: '' };
  if (!isMap(document.root)) findings.refuse(whole, 'no task list comes out of it: write a map with name and tasks');
  const taskList = isMap(document.root) ? readRenderedTaskList(root) : undefined;
  if (taskList === undefined) return undefined;
  checkTaskList(taskList, root);
  return { taskList, root };
}

function resolveWorkers(taskList: TaskList, root: YamlValue, resolveWorker: RenderRequest['resolveWorker']): string[] {
  return taskList.tasks.flatMap(({ name, worker }, index) => {
    const hardware = resolveWorker(worker);
    if (hardware !== undefined) return [hardware];
    const at = root.scope.fields.get(`tasks[${index}].worker`);
    const fix = 'name a machine by its MAC, its name or its agentID';
    const message = `the worker ${shown(worker)} of the task ${shown(name)} is no known Hardware: ${fix}`;
    if (at !== undefined) root.scope.findings.refuse(at, message, worker);
    return [];
  });
}

function toRendered(taskList: TaskList, defaults: RenderDefaults): RenderedTemplate {
  const seconds = taskList.global_timeout ?? 0;
  return {
    name: taskList.name,
    ...(seconds > 0 ? { globalTimeoutMs: seconds * 1000 } : {}),
    tasks: taskList.tasks.map((task): RenderedTask => {
      const actions = task.actions.map((action) => toRenderedAction(action, task.environment ?? {}, defaults));
      return { name: task.name, worker: task.worker, actions };
    }),
  };
}

function toRenderedAction(
  action: Action,
  taskEnvironment: Readonly<Record<string, string>>,
  defaults: RenderDefaults,
): RenderedAction {
  const seconds = action.timeout ?? 0;
  return {
    name: action.name,
    image: keptImage(action.image, defaults.actionImages),
    timeoutMs: seconds > 0 ? seconds * 1000 : defaults.actionTimeoutMs,
    environment: { ...taskEnvironment, ...action.environment },
    command: action.command ?? [],
    retries: action.retries ?? 0,
  };
}

/** Adds the line to each problem: the rendered text is nowhere else to be seen. */
function quoteLines(problems: readonly Problem[], text: string, subject: TemplateSubject): Problem[] {
  const lines = text.split(/\r?\n/);
  const secrets = secretLines(subject);
  return problems.map((problem) => {
    const line = lines[problem.line - 1]?.trim();
    if (line === undefined || line === '') return problem;
    const quoted = isSecretLine(line, secrets) ? 'not shown, it may hold a secret' : shown(line);
    return { ...problem, message: `${problem.message} (line ${problem.line}: ${quoted})` };
  });
}

/** Lines of the machine's secrets that are long enough to be told from other text. */
function secretLines(subject: TemplateSubject): readonly string[] {
  const { userData = '', vendorData = '' } = subject.hardware?.spec ?? {};
  return `${userData}\n${vendorData}`
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line.length >= 6);
}

function isSecretLine(line: string, secrets: readonly string[]): boolean {
  if (/passw|secret|token|credential|private/i.test(line) || secrets.some((secret) => line.includes(secret)))
    return true;
  const actions: readonly ActionDeclaration<unknown>[] = Object.values(catalog);
  return actions.some((action) => action.secrets?.some((name) => line.includes(name)) === true);
}
