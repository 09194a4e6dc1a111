import { catalog } from '#proto/actions/catalog.ts';
import type { ActionDeclaration } from '#proto/actions/declaration.ts';

/** docs/actions.md, from what the actions declare. */
export function actionReference(): string {
  const actions = Object.entries<ActionDeclaration<unknown>>(catalog).toSorted(([a], [b]) => a.localeCompare(b, 'en'));
  const list = actions.map(([name, { summary }]) => `| [${name}](#${name}) | ${cell(summary)} |`);
  return `${[
    '# Actions',
    '',
    '<!-- Made by `npm run generate` from proto/actions; do not edit. -->',
    '',
    'What a template can name as `image`: the base name counts, whatever registry, path, tag or digest it carries. Variables are read from the environment of the action and of its task; others are ignored. A value that cannot be used is refused before anything runs, with its name, its value and the fix. Values marked secret are never shown.',
    '',
    '| action | what it does |',
    '|---|---|',
    ...list,
    ...actions.flatMap(([name, declaration]) => ['', ...actionPage(name, declaration)]),
  ].join('\n')}\n`;
}

function actionPage(name: string, declaration: ActionDeclaration<unknown>): readonly string[] {
  const { summary, repeatable, environment, secrets = [], fixes = [] } = declaration;
  const variables = Object.entries(environment).map(([variable, sentence]) => {
    return `| \`${variable}\` | ${cell(sentence)} | ${secrets.includes(variable) ? 'yes' : ''} |`;
  });
  const again = repeatable
    ? 'It may run again from its start after a crash at any point.'
    : 'It may not run again after a crash: the workflow fails then, and an operator decides.';
  return [
    `## ${name}`,
    '',
    `${summary} ${again}`,
    '',
    ...(variables.length === 0
      ? ['It reads no variables.']
      : ['| variable | what | secret |', '|---|---|---|', ...variables]),
    ...(fixes.length === 0 ? [] : ['', 'Otherwise than the published action:', '', ...fixes.map((fix) => `- ${fix}`)]),
  ];
}

/** A pipe would end the cell. */
function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ');
}
