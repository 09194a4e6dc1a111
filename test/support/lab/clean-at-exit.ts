/**
 * Makes sure that `clean` runs exactly once: when the returned function is called, or before the process ends, also by SIGINT
 * and SIGTERM. `clean` must be synchronous.
 */
export function cleanAtExit(clean: () => void): () => void {
  const onSignal = (signal: NodeJS.Signals): void => {
    finish();
    process.kill(process.pid, signal);
  };
  const finish = (): void => {
    process.off('exit', finish).off('SIGINT', onSignal).off('SIGTERM', onSignal);
    clean();
  };
  process.on('exit', finish).on('SIGINT', onSignal).on('SIGTERM', onSignal);
  return finish;
}
