import {
  type Alias,
  Composer,
  type CST,
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  Lexer,
  LineCounter,
  type Node,
  type Pair,
  Parser,
  type Scalar,
  type YAMLError,
  type YAMLMap,
  type YAMLSeq,
} from 'yaml';
import type { ActionImages } from './action-images.ts';
import { type Findings, type Position, shown } from './findings.ts';

/** One document of a YAML stream whose tree is sound: aliases that resolve, plain keys. */
export interface YamlDocument {
  readonly root: Node;
  readonly scope: YamlScope;
}

/** What the readers of one document share. */
export interface YamlScope {
  readonly file: string;
  /** The whole text of the file. */
  readonly text: string;
  readonly lines: LineCounter;
  readonly findings: Findings;
  /** Node that each alias stands for. */
  readonly targets: ReadonlyMap<Alias, Node>;
  /** Filled by the readers: where each value stands, by its path, for example `spec.interfaces[0].dhcp.mac`. */
  readonly fields: Map<string, Position>;
  /** A site's own names of actions. */
  readonly actionImages?: ActionImages;
}

/**
 * Levels of lists and maps. The library composes trees by recursion, and close to the end of the stack V8 does not throw
 * but ends the process (a regular expression that it cannot compile): `[` a thousand times would stop the server.
 */
const DEEPEST = 64;
/** Lexical tokens of one file; the library needs up to 15 µs for each where every one of them is an error. */
const MOST_TOKENS = 800_000;
/** How many values aliases may add to a document: a "billion laughs" grows past every bound. */
const MOST_ALIASED = 20_000;

/** Parses a YAML 1.2 stream (JSON included). Faults go to `findings`; documents with a broken syntax or tree are left out. */
export function parseYaml(
  file: { readonly name: string; readonly text: string },
  findings: Findings,
  actionImages?: ActionImages,
): YamlDocument[] {
  const lines = new LineCounter();
  const tokens = tokensOf(file, lines, findings);
  const documents: YamlDocument[] = [];
  for (const document of composeDocuments(tokens, lines)) {
    const targets = new Map<Alias, Node>();
    const fields = new Map<string, Position>();
    const scope = {
      file: file.name,
      text: file.text,
      lines,
      findings,
      targets,
      fields,
      ...(actionImages && { actionImages }),
    };
    // Of a broken document only the first fault: those that follow are mostly its echoes.
    const faults = document.errors.length > 0 ? document.errors.slice(0, 1) : document.warnings;
    for (const error of faults) refuseSyntax(scope, error);
    if (document.errors.length > 0 || document.contents === null) continue;
    const root = document.contents;
    if (isScalar(root) && root.value === null) continue;
    if (isSoundTree(root, scope, targets)) documents.push({ root, scope });
  }
  return documents;
}

/** Where a node begins. */
export function positionOf(scope: YamlScope, node: Node | null | undefined): Position {
  return positionAt(scope, node?.range?.[0] ?? 0);
}

/** A part of a parsed tree; null where nothing is written. (The library's types also cover trees made by hand.) */
export function nodeOf(part: unknown): Node | null {
  return isNode(part) ? part : null;
}

/** Text of a key; `undefined` if the key is a list, a map or an alias. */
export function keyText(key: unknown): string | undefined {
  if (!isScalar(key)) return undefined;
  return typeof key.value === 'string' ? key.value : (key.source ?? String(key.value));
}

/** The node itself, or what it stands for if it is an alias. */
export function resolved(scope: YamlScope, node: Node): Node {
  if (!isAlias(node)) return node;
  return scope.targets.get(node) ?? node;
}

/**
 * The concrete syntax, by an iterative parser whose stack is watched; empty after a refusal. Untrusted text goes through it
 * before any other part of the library sees it.
 */
export function tokensOf(
  file: { readonly name: string; readonly text: string },
  lines: LineCounter,
  findings: Findings,
): CST.Token[] {
  const parser = new Parser(lines.addNewLine);
  const tokens: CST.Token[] = [];
  let count = 0;
  lines.addNewLine(0);
  for (const lexeme of new Lexer().lex(file.text)) {
    tokens.push(...parser.next(lexeme));
    count++;
    if (parser.stack.length <= DEEPEST && count <= MOST_TOKENS) continue;
    const { line, col } = lines.linePos(parser.offset);
    const fault =
      count > MOST_TOKENS
        ? `the file has more than ${MOST_TOKENS} YAML tokens: split it`
        : `values are nested deeper than ${DEEPEST} levels: nest less deeply, or correct the YAML above`;
    findings.refuse({ file: file.name, line, column: col }, fault);
    return [];
  }
  tokens.push(...parser.end());
  return tokens;
}

function composeDocuments(tokens: readonly CST.Token[], lines: LineCounter): Iterable<Document> {
  // uniqueKeys is off because the library compares every key with every other; isSoundTree looks keys up in a set.
  const composer = new Composer({
    lineCounter: lines,
    prettyErrors: false,
    uniqueKeys: false,
    schema: 'core',
    resolveKnownTags: false,
    logLevel: 'silent',
  });
  return composer.compose(tokens);
}

function positionAt(scope: YamlScope, offset: number): Position {
  const { line, col } = scope.lines.linePos(offset);
  return { file: scope.file, line, column: col };
}

const SYNTAX_FIXES: Partial<Record<YAMLError['code'], string>> = {
  TAB_AS_INDENT: 'indent with spaces, YAML allows no tabs there',
  BAD_INDENT: 'give the lines of one block the same indentation',
  BAD_SCALAR_START: 'put the value in quotes',
  BAD_DQ_ESCAPE: 'use single quotes, or write the backslash twice',
  MULTILINE_IMPLICIT_KEY: 'check for a missing ":" or quote on the lines above',
  BLOCK_AS_IMPLICIT_KEY: 'put a value that contains ": " in quotes',
  UNEXPECTED_TOKEN: 'put a value with special characters in quotes',
  MISSING_CHAR: 'add what is missing',
  TAG_RESOLVE_FAILED: 'remove the tag (the word that begins with "!")',
  BAD_ALIAS: 'put a value that begins with "*" in quotes',
  RESOURCE_EXHAUSTION: 'nest less deeply',
};

function refuseSyntax(scope: YamlScope, error: YAMLError): void {
  const fix = SYNTAX_FIXES[error.code] ?? 'correct the YAML';
  // Some of the library's messages end with the text in question, which may be a secret.
  const fact = error.message.replace(/: ".*$/s, '').split('\n', 1)[0] ?? error.code;
  scope.findings.refuse(positionAt(scope, error.pos[0]), `not valid YAML: ${fact}: ${fix}`);
}

interface TreeWalk {
  readonly scope: YamlScope;
  readonly targets: Map<Alias, Node>;
  readonly anchors: Map<string, { readonly node: Node; readonly extent: Extent }>;
  /** Anchors whose node is being walked: an alias to one of them would never end. */
  readonly open: Set<string>;
  aliased: number;
}

/** Values of a tree and its levels, what its aliases stand for included. */
interface Extent {
  readonly size: number;
  readonly height: number;
}

class UnsoundTree extends Error {}

function isSoundTree(root: Node, scope: YamlScope, targets: Map<Alias, Node>): boolean {
  const walk: TreeWalk = { scope, targets, anchors: new Map(), open: new Set(), aliased: 0 };
  try {
    extentOf(root, walk);
    return true;
  } catch (thrown) {
    // Already among the findings; the rest of this document's tree is not looked at.
    if (thrown instanceof UnsoundTree) return false;
    throw thrown;
  }
}

/** Measures a tree and checks it on the way. The parser has bounded the levels as written; aliases may add to them. */
function extentOf(node: unknown, walk: TreeWalk): Extent {
  if (isAlias(node)) return extentOfAlias(node, walk);
  if (!isMap(node) && !isSeq(node) && !isScalar(node)) return { size: 1, height: 0 };
  const { anchor } = node;
  if (anchor !== undefined) walk.open.add(anchor);
  let size = 1;
  let height = 0;
  for (const child of childrenOf(node, walk)) {
    const extent = extentOf(child, walk);
    size += extent.size;
    height = Math.max(height, extent.height + 1);
  }
  if (height > DEEPEST) giveUp(walk, node, `aliases nest values deeper than ${DEEPEST} levels: write the values out`);
  if (anchor !== undefined) {
    walk.open.delete(anchor);
    walk.anchors.set(anchor, { node, extent: { size, height } });
  }
  return { size, height };
}

function childrenOf(node: YAMLMap | YAMLSeq | Scalar, walk: TreeWalk): readonly unknown[] {
  if (isSeq(node)) return node.items;
  if (!isMap(node)) return [];
  checkKeys(node, walk);
  return node.items.map(({ value }) => value);
}

function extentOfAlias(alias: Alias, walk: TreeWalk): Extent {
  if (walk.open.has(alias.source))
    return giveUp(walk, alias, `the alias *${alias.source} stands inside its own anchor`);
  const target = walk.anchors.get(alias.source);
  if (target === undefined) return giveUp(walk, alias, `the alias *${alias.source} has no anchor before it`);
  walk.targets.set(alias, target.node);
  walk.aliased += target.extent.size;
  if (walk.aliased > MOST_ALIASED) {
    return giveUp(walk, alias, `aliases expand to more than ${MOST_ALIASED} values: write the values out`);
  }
  return target.extent;
}

function checkKeys(map: YAMLMap, walk: TreeWalk): void {
  const seen = new Map<string, number>();
  for (const { key } of map.items as readonly Pair[]) {
    const text = keyText(key);
    const node = nodeOf(key);
    if (text === undefined) {
      walk.scope.findings.refuse(positionOf(walk.scope, node), 'a key is not plain text: write a word before the ":"');
      continue;
    }
    const at = positionOf(walk.scope, node);
    const first = seen.get(text);
    if (first === undefined) seen.set(text, at.line);
    else
      walk.scope.findings.refuse(
        at,
        `the key ${shown(text)} is there twice (first in line ${first}): remove one`,
        text,
      );
  }
}

function giveUp(walk: TreeWalk, node: Node, message: string): never {
  walk.scope.findings.refuse(positionOf(walk.scope, node), message);
  throw new UnsoundTree();
}
