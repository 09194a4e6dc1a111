import type { Problem } from '#proto/errors.ts';

/**
 * Problems for people, one a line: `file:line:column: message`, in the order of their places and each said once.
 * What belongs to a whole file is `file: message`.
 */
export function describeProblems(problems: readonly Problem[]): string[] {
  const lines = problems.toSorted(byPlace).map(describeProblem);
  return [...new Set(lines)];
}

function describeProblem(problem: Problem): string {
  const place = problem.line === 0 ? problem.file : `${problem.file}:${problem.line}:${problem.column}`;
  return `${place}: ${problem.message}`;
}

function byPlace(a: Problem, b: Problem): number {
  if (a.file !== b.file) return a.file < b.file ? -1 : 1;
  return a.line - b.line || a.column - b.column;
}
