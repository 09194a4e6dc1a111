/** Changes of case that look at words: snake_case, kebab-case, CamelCase, titles. */

/** A letter that is no capital. */
const SMALL = '(?:(?![\\p{Lu}\\u3034-\\u30ff\\u3400-\\u9fff\\uac00-\\ud7af])\\p{L})';
const CONNECTOR = '[-_\\s]';
const WORDS = new RegExp(
  [
    `(?<connector>${CONNECTOR}+)`,
    '(?<punctuation>\\p{P}+)',
    `(?<upper>\\p{Lu}+(?=\\p{Lu}${SMALL})|\\p{Lu}{2,}|\\p{Lu}${SMALL}*)`,
    `(?<small>${SMALL}+)`,
    '(?<number>\\p{N}+)',
    `(?<other>(?:(?!${CONNECTOR}|\\p{P}|\\p{N}|\\p{Lu}|${SMALL})[^])+)`,
  ].join('|'),
  'gu',
);

type WordKind = 'connector' | 'punctuation' | 'upper' | 'small' | 'number' | 'other';
const WORD_KINDS: readonly WordKind[] = ['connector', 'punctuation', 'upper', 'small', 'number', 'other'];

interface Word {
  readonly kind: WordKind;
  readonly text: string;
}

/** `HTTPServer 20x` → `http_server_20x`: small words, joined by `connector`. */
export function joinWords(text: string, connector: string): string {
  const words = cutWords(text);
  let result = '';
  let isAfterWord = false;
  for (let at = 0; at < words.length; ) {
    const word = words[at];
    if (word === undefined) break;
    if (word.kind === 'connector' || word.kind === 'punctuation') {
      result += word.kind === 'connector' ? connector.repeat(Array.from(word.text).length) : word.text;
      isAfterWord = false;
      at++;
      continue;
    }
    const count = groupLength(words, at);
    const group = words.slice(at, at + count).map(({ kind, text }) => (kind === 'upper' ? text.toLowerCase() : text));
    result += (isAfterWord ? connector : '') + group.join('');
    isAfterWord = true;
    at += count;
  }
  return result;
}

/** How many pieces from `at` on are one word: `20` + `x`, or `Bld` + `4`. */
function groupLength(words: readonly Word[], at: number): number {
  if (words[at]?.kind !== 'number') return words[at + 1]?.kind === 'number' && words[at + 2]?.kind !== 'small' ? 2 : 1;
  let end = at + 1;
  while (words[end]?.kind === 'small' || words[end]?.kind === 'number') end++;
  return end - at;
}

function cutWords(text: string): Word[] {
  return Array.from(text.matchAll(WORDS), (match) => {
    const kind = WORD_KINDS.find((name) => match.groups?.[name] !== undefined) ?? 'other';
    return { kind, text: match[0] };
  });
}

/** `some_http-server` → `SomeHttpServer`. Connectors at the ends stay, as does all but one between two words. */
export function camelCase(text: string): string {
  const [, leading = '', rest = ''] = /^([-_\s]*)([^]*)$/u.exec(text) ?? [];
  // Sprig's library writes the last one of nothing but connectors twice.
  if (rest === '') return leading + leading.slice(-1);
  return (
    leading +
    rest.replace(/([-_\s]*)([^-_\s]+)/gu, (_all, connectors: string, word: string) => {
      return connectors.slice(0, -1) + capitalizeWord(word);
    })
  );
}

function capitalizeWord(word: string): string {
  const [first = '', ...others] = word;
  const tail = others.join('');
  const isCapital = /^\p{Lu}/u.test(first);
  return first.toUpperCase() + (isCapital ? tail.replace(/^\p{Lu}+/u, (capitals) => capitals.toLowerCase()) : tail);
}

/** Go's strings.Title: every letter that follows no letter, digit or underscore becomes a capital. */
export function titleCase(text: string): string {
  let isAtStart = true;
  return Array.from(text, (character) => {
    const result = isAtStart ? singleUpper(character) : character;
    isAtStart = !/[\p{L}\p{Nd}_]/u.test(character) && (character < '\u0080' || /\s/u.test(character));
    return result;
  }).join('');
}

/** The first character of every word small. */
export function uncapitalize(text: string): string {
  return text.replace(/(^|\s)(\S)/gu, (_all, before: string, letter: string) => before + letter.toLowerCase());
}

export function initials(text: string): string {
  return Array.from(text.matchAll(/(?:^|\s)(\S)/gu), (match) => match[1] ?? '').join('');
}

/** Capitals become small and the other way round. */
export function swapCase(text: string): string {
  return Array.from(text, (character) => {
    return /[\p{Lu}\p{Lt}]/u.test(character) ? character.toLowerCase() : singleUpper(character);
  }).join('');
}

function singleUpper(character: string): string {
  const upper = character.toUpperCase();
  return Array.from(upper).length === 1 ? upper : character;
}
