import { TinsmithError } from '#proto/errors.ts';

/** What one menu entry starts. Paths on the boot partition. */
export interface GrubEntry {
  readonly kernel: string;
  readonly initrds: readonly string[];
  readonly commandLine: string;
}

/**
 * The entry that GRUB would start: `set default` as index, title or id, with `>` into submenus; otherwise the first. Reads
 * the files that grub-mkconfig writes; conditions are not evaluated. Throws `unsupported` for entries kept elsewhere (BLS).
 */
export function grubDefaultEntry(text: string, source: string): GrubEntry {
  const { root, wanted } = parseMenu(text);
  const chosen = findEntry(root, wanted) ?? findEntry(root, []);
  if (chosen?.kernel !== undefined) {
    return { kernel: chosen.kernel, initrds: chosen.initrds, commandLine: chosen.commandLine };
  }
  const fact = /^\s*blscfg\b/m.test(text) ? 'keeps its entries in separate files' : 'has no entry with a kernel';
  throw new TinsmithError('unsupported', `cannot use ${source}: it ${fact}, set KERNEL_PATH and INITRD_PATH`);
}

interface MenuNode {
  readonly title: string;
  readonly id: string | undefined;
  readonly children: MenuNode[] | undefined;
  kernel?: string;
  initrds: string[];
  commandLine: string;
}

interface Menu {
  readonly root: MenuNode[];
  wanted: readonly string[];
}

function parseMenu(text: string): Menu {
  const menu: Menu = { root: [], wanted: [] };
  const open: MenuNode[] = [];
  for (const line of text.split('\n')) {
    const words = grubWords(line);
    const [command = '', ...rest] = words;
    const inside = open.at(-1);
    if (isMenuCommand(command) && words.at(-1) === '{') {
      const node = newNode(command, rest);
      (inside?.children ?? menu.root).push(node);
      open.push(node);
    } else if (command === '}') {
      open.pop();
    } else if (inside === undefined) {
      readSetting(menu, command, rest);
    } else {
      readEntryLine(inside, command, rest);
    }
  }
  return menu;
}

function isMenuCommand(command: string): boolean {
  return command === 'menuentry' || command === 'submenu';
}

/** "${saved_entry}" and the like need GRUB's own environment block: the file's first entry stands in for it. */
function readSetting(menu: Menu, command: string, [setting = '']: readonly string[]): void {
  if (command !== 'set' || !setting.startsWith('default=') || setting.includes('$') || menu.wanted.length > 0) return;
  menu.wanted = setting
    .slice('default='.length)
    .split('>')
    .filter((part) => part !== '');
}

function newNode(command: string, rest: readonly string[]): MenuNode {
  const idAt = rest.findIndex((word) => word === '--id' || word === '$menuentry_id_option');
  return {
    title: rest[0] ?? '',
    id: idAt === -1 ? undefined : rest[idAt + 1],
    children: command === 'submenu' ? [] : undefined,
    initrds: [],
    commandLine: '',
  };
}

function readEntryLine(node: MenuNode, command: string, rest: readonly string[]): void {
  if (/^linux(16|efi)?$/.test(command) && node.kernel === undefined && rest[0] !== undefined) {
    node.kernel = withoutDevice(rest[0]);
    node.commandLine = rest
      .slice(1)
      .map(withoutVariables)
      .filter((word) => word !== '')
      .join(' ');
  } else if (/^initrd(16|efi)?$/.test(command)) {
    node.initrds.push(...rest.map(withoutDevice));
  }
}

/** GRUB's variables, such as $vt_handoff, tell about its own screen; an unset one is empty for GRUB, too. */
function withoutVariables(word: string): string {
  return word.replaceAll(/\$(\w+|\{\w+\})/g, '');
}

/** `($root)/boot/vmlinuz` and `(hd0,gpt2)/boot/vmlinuz` → `/boot/vmlinuz`. */
function withoutDevice(path: string): string {
  return path.replace(/^\([^)]*\)|^\$\{?root\}?/, '');
}

function findEntry(list: readonly MenuNode[], wanted: readonly string[]): MenuNode | undefined {
  const [first, ...deeper] = wanted;
  const node =
    first === undefined
      ? list[0]
      : (list.find((entry) => entry.id === first || entry.title === first) ??
        (/^\d+$/.test(first) ? list[Number(first)] : undefined));
  return node?.children === undefined ? node : findEntry(node.children, deeper);
}

/** Words of one line: quotes group, a backslash takes the next character, `#` starts a comment. */
function grubWords(line: string): string[] {
  const words: string[] = [];
  for (const [match] of line.matchAll(/#.*$|(?:'[^']*'|"(?:\\.|[^"\\])*"|\\.|[^\s'"\\#]|(?<=\S)#)+/g)) {
    if (match.startsWith('#')) break;
    words.push(
      match.replaceAll(
        /'([^']*)'|"((?:\\.|[^"\\])*)"|\\(.)/g,
        (_, a?: string, b?: string, c?: string) => a ?? b?.replaceAll(/\\(.)/g, '$1') ?? c ?? '',
      ),
    );
  }
  return words;
}
