/**
 * The same command with its standard output through a pipe that `cat` empties. Node gives children a socket, which is
 * full after about 170 writes of one byte; QEMU waits for a full console only briefly and then drops what the machine
 * says, so that a test process busy for a few milliseconds lost characters. A pipe holds 64 KiB of such writes.
 */
export function patientOutput(argv: readonly [string, ...string[]]): readonly [string, ...string[]] {
  return ['bash', '-c', 'exec "$@" > >(exec cat)', 'patient-output', ...argv];
}
