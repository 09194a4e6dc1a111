/** The parsed form of a template. `at` is the offset of the node in the source. */
export type Statement =
  | { readonly kind: 'text'; readonly at: number; readonly text: string }
  | { readonly kind: 'action'; readonly at: number; readonly pipe: Pipe }
  | Control
  | { readonly kind: 'template'; readonly at: number; readonly name: string; readonly pipe: Pipe | undefined }
  | { readonly kind: 'break'; readonly at: number }
  | { readonly kind: 'continue'; readonly at: number };

/** An action with a body. */
export interface Control {
  readonly kind: 'if' | 'with' | 'range';
  readonly at: number;
  readonly pipe: Pipe;
  readonly body: readonly Statement[];
  readonly otherwise: readonly Statement[] | undefined;
}

/** `$a, $b := command | command`. */
export interface Pipe {
  readonly kind: 'pipe';
  readonly at: number;
  /** Names with their `$`. */
  readonly variables: readonly string[];
  readonly isAssignment: boolean;
  readonly commands: readonly Command[];
}

/** One stage of a pipe: an operand and what it is given. */
export interface Command {
  readonly at: number;
  readonly words: readonly [Operand, ...Operand[]];
}

export type Operand =
  | Pipe
  | NumberNode
  | { readonly kind: 'dot'; readonly at: number }
  | { readonly kind: 'nil'; readonly at: number }
  | { readonly kind: 'bool'; readonly at: number; readonly value: boolean }
  | { readonly kind: 'string'; readonly at: number; readonly text: string; readonly quoted: string }
  | FieldNode
  | VariableNode
  | { readonly kind: 'function'; readonly at: number; readonly name: string }
  | ChainNode;

/** `.a.b` */
interface FieldNode {
  readonly kind: 'field';
  readonly at: number;
  readonly names: readonly string[];
}

interface VariableNode {
  readonly kind: 'variable';
  readonly at: number;
  readonly name: string;
  readonly names: readonly string[];
}

/** `(pipe).a.b` */
export interface ChainNode {
  readonly kind: 'chain';
  readonly at: number;
  readonly base: Operand;
  readonly names: readonly string[];
}

/** A number, with every meaning that its text may have; Go decides by what is wanted. */
export interface NumberNode {
  readonly kind: 'number';
  readonly at: number;
  readonly text: string;
  readonly integer: bigint | undefined;
  readonly float: number | undefined;
  /** Whether it is a float where nothing says what is wanted. */
  readonly isFloatByShape: boolean;
}

/** The text of an expression as Go writes it in its error messages: `<index .Hardware.Disks 0>`. */
export function expressionText(node: Operand | Command): string {
  if ('words' in node) return node.words.map(wordText).join(' ');
  if (node.kind === 'chain') return `${wordText(node.base)}.${node.names.join('.')}`;
  if (node.kind === 'field') return `.${node.names.join('.')}`;
  if (node.kind === 'variable') return [node.name, ...node.names].join('.');
  return node.kind === 'pipe' ? pipeText(node) : leafText(node);
}

function pipeText({ commands, variables, isAssignment }: Pipe): string {
  const text = commands.map(expressionText).join(' | ');
  return variables.length === 0 ? text : `${variables.join(', ')} ${isAssignment ? '=' : ':='} ${text}`;
}

function leafText(node: Exclude<Operand, Pipe | ChainNode | VariableNode | FieldNode>): string {
  if (node.kind === 'dot') return '.';
  if (node.kind === 'nil') return 'nil';
  if (node.kind === 'bool') return String(node.value);
  if (node.kind === 'string') return node.quoted;
  return node.kind === 'function' ? node.name : node.text;
}

function wordText(node: Operand): string {
  return node.kind === 'pipe' ? `(${expressionText(node)})` : expressionText(node);
}
