/** Help text is never wider; a test holds every command to it. */
export const HELP_WIDTH = 80;

/** Breaks at spaces so that no line is longer than `width`, each beginning with `indent`. A longer word stays whole. */
export function wrapText(text: string, width: number, indent = ''): string {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(/\s+/).filter((piece) => piece !== '')) {
    const longer = line === '' ? word : `${line} ${word}`;
    if (line !== '' && indent.length + longer.length > width) {
      lines.push(indent + line);
      line = word;
    } else {
      line = longer;
    }
  }
  if (line !== '') lines.push(indent + line);
  return lines.join('\n');
}

/** Two columns, the second one wrapped: for options and commands. */
export function definitionList(rows: readonly (readonly [term: string, meaning: string])[]): string {
  const longest = Math.max(0, ...rows.map(([term]) => term.length).filter((length) => length <= 26));
  const indent = ' '.repeat(longest + 4);
  return rows
    .map(([term, meaning]) => {
      const wrapped = wrapText(meaning, HELP_WIDTH, indent);
      if (term.length > longest) return `  ${term}\n${wrapped}`;
      return `  ${term.padEnd(longest)}  ${wrapped.trimStart()}`;
    })
    .join('\n');
}
