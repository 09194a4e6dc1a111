import type { Command, OptionSpec } from './command.ts';
import { COMMON_OPTIONS } from './command-line.ts';

/** Commands whose second argument is the name of a record. */
const NAMES_RECORDS = new Set(['get', 'describe', 'delete']);
/** Commands whose first argument is the name of a workflow, or of anything that can be watched. */
const NAMES_WORKFLOW = new Set(['logs', 'workflow cancel', 'workflow retry']);
const NAMES_HARDWARE = new Set(['watch', 'hardware netboot']);

/** A bash completion script; names of records are asked of the server, and left out when it does not answer. */
export function bashCompletion(commands: readonly Command[]): string {
  const cases = commands.map((command) => bashCase(command)).join('\n');
  return `# bash completion for tinsmith; made by: tinsmith completion bash
_tinsmith() {
  local cur prev words=() word command="" kind="" count=0
  cur="\${COMP_WORDS[COMP_CWORD]}"
  prev="\${COMP_WORDS[COMP_CWORD-1]}"
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    [[ $word == -* ]] || words+=("$word")
  done
  case "\${words[0]-} \${words[1]-}" in
${twoWordNames(commands)
  .map((name) => `    "${name}") command="${name}"; words=("\${words[@]:2}") ;;`)
  .join('\n')}
    *) command="\${words[0]-}"; words=("\${words[@]:1}") ;;
  esac
  kind="\${words[0]-}"
  count=\${#words[@]}
  case "$command" in
    "") COMPREPLY=($(compgen -W "${firstWords(commands).join(' ')}" -- "$cur")) ;;
${groups(commands)
  .map(([first, seconds]) => `    ${first}) COMPREPLY=($(compgen -W "${seconds.join(' ')}" -- "$cur")) ;;`)
  .join('\n')}
${cases}
  esac
}
_tinsmith_names() {
  "\${COMP_WORDS[0]}" get "$1" -o name 2>/dev/null | sed 's,^[^/]*/,,'
}
complete -o default -F _tinsmith tinsmith
`;
}

function bashCase(command: Command): string {
  const choices = Object.entries(command.options).flatMap(([name, { choices: values, short }]) =>
    values === undefined
      ? []
      : [
          `      ${short === undefined ? '' : `-${short}|`}--${name}) COMPREPLY=($(compgen -W "${values.join(' ')}" -- "$cur")); return ;;`,
        ],
  );
  const files = Object.entries(command.options).flatMap(([name, { value, short }]) =>
    value === 'FILE' || value === 'DIR'
      ? [`      ${short === undefined ? '' : `-${short}|`}--${name}) COMPREPLY=(); return ;;`]
      : [],
  );
  const previous = [...choices, ...files];
  return [
    `    "${command.name}")`,
    ...(previous.length === 0 ? [] : ['      case "$prev" in', ...previous.map((line) => `  ${line}`), '      esac']),
    `      if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W "${optionWords(command).join(' ')}" -- "$cur")); return; fi`,
    ...bashArguments(command),
    '      ;;',
  ].join('\n');
}

function bashArguments(command: Command): readonly string[] {
  if (NAMES_RECORDS.has(command.name)) {
    return [
      `      if (( count == 0 )); then ${reply((command.firstArgument ?? []).join(' '))}; else ${reply('$(_tinsmith_names "$kind")')}; fi`,
    ];
  }
  if (NAMES_WORKFLOW.has(command.name)) return [`      ${reply('$(_tinsmith_names workflow)')}`];
  if (NAMES_HARDWARE.has(command.name)) return [`      ${reply('$(_tinsmith_names hardware)')}`];
  return command.firstArgument === undefined ? [] : [`      ${reply(command.firstArgument.join(' '))}`];
}

function reply(source: string): string {
  return `COMPREPLY=($(compgen -W "${source}" -- "$cur"))`;
}

/** zsh runs the bash script through its own compatibility layer. */
export function zshCompletion(commands: readonly Command[]): string {
  return `#compdef tinsmith
# zsh completion for tinsmith; made by: tinsmith completion zsh
autoload -U +X bashcompinit && bashcompinit
${bashCompletion(commands)}`;
}

export function fishCompletion(commands: readonly Command[]): string {
  const lines = commands.flatMap((command) => {
    const condition = fishCondition(command.name);
    const [first = '', second] = command.name.split(' ');
    const summary = quoted(command.summary);
    const word =
      second === undefined
        ? `complete -c tinsmith -n __fish_use_subcommand -f -a ${first} -d ${summary}`
        : `complete -c tinsmith -n '__fish_seen_subcommand_from ${first}' -f -a ${second} -d ${summary}`;
    const options = Object.entries({ ...command.options, ...COMMON_OPTIONS }).map(([name, spec]) =>
      fishOption(condition, name, spec),
    );
    return [word, ...options, ...fishArguments(command, condition)];
  });
  const groupWords = groups(commands).map(([first]) => `complete -c tinsmith -n __fish_use_subcommand -f -a ${first}`);
  return `# fish completion for tinsmith; made by: tinsmith completion fish
function __tinsmith_names
  tinsmith get $argv[1] -o name 2>/dev/null | string replace -r '^[^/]*/' ''
end
${[...groupWords, ...lines].join('\n')}
`;
}

function fishCondition(name: string): string {
  return `'${name
    .split(' ')
    .map((word) => `__fish_seen_subcommand_from ${word}`)
    .join('; and ')}'`;
}

function fishOption(condition: string, name: string, { short, type, choices, value, summary }: OptionSpec): string {
  const takes = type === 'boolean' ? '' : ` -r${value === 'FILE' || value === 'DIR' ? '' : ' -f'}`;
  const list = choices === undefined ? '' : ` -a '${choices.join(' ')}'`;
  return `complete -c tinsmith -n ${condition} -l ${name}${short === undefined ? '' : ` -s ${short}`}${takes}${list} -d ${quoted(summary)}`;
}

function fishArguments(command: Command, condition: string): readonly string[] {
  const add = (list: string): string => `complete -c tinsmith -n ${condition} -f -a ${list}`;
  if (NAMES_WORKFLOW.has(command.name)) return [add("'(__tinsmith_names workflow)'")];
  if (NAMES_HARDWARE.has(command.name)) return [add("'(__tinsmith_names hardware)'")];
  return command.firstArgument === undefined ? [] : [add(`'${command.firstArgument.join(' ')}'`)];
}

function quoted(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}

function optionWords(command: Command): readonly string[] {
  return Object.entries({ ...command.options, ...COMMON_OPTIONS }).flatMap(([name, { short }]) =>
    short === undefined ? [`--${name}`] : [`--${name}`, `-${short}`],
  );
}

function firstWords(commands: readonly Command[]): readonly string[] {
  return [...new Set(commands.map(({ name }) => name.split(' ', 1)[0] ?? ''))];
}

function twoWordNames(commands: readonly Command[]): readonly string[] {
  return commands.map(({ name }) => name).filter((name) => name.includes(' '));
}

/** `workflow` → `cancel`, `retry`. */
function groups(commands: readonly Command[]): readonly (readonly [string, readonly string[]])[] {
  const byFirst = Map.groupBy(twoWordNames(commands), (name) => name.split(' ', 1)[0] ?? '');
  return [...byFirst].map(([first, names]) => [first, names.map((name) => name.slice(first.length + 1))]);
}
