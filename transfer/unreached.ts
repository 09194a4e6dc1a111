/** Whether nothing listens there, or no host has that name: it will not go away in a moment. */
export function isUnreached(thrown: unknown): boolean {
  const code: unknown = thrown instanceof Error ? Reflect.get(thrown, 'code') : undefined;
  return code === 'ECONNREFUSED' || code === 'ENOTFOUND';
}
