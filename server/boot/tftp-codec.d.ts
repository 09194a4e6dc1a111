/** The parts of npm `tftp`'s packet codec that tftp-packet.ts uses; the package ships no types. They throw plain objects. */
declare module 'tftp/lib/protocol/packets/rrq.js' {
  const rrq: { deserialize(bytes: Buffer): { readonly file: string } };
  export = rrq;
}
declare module 'tftp/lib/protocol/packets/oack.js' {
  const oack: { serialize(options: Readonly<Record<string, string | number>>): Buffer };
  export = oack;
}
declare module 'tftp/lib/protocol/packets/error.js' {
  const error: {
    /** `message` must be ASCII. */
    serialize(error: { readonly code: number; readonly message: string }): Buffer;
    /** Throws RangeError below four bytes. */
    deserialize(bytes: Buffer): { readonly code: number; readonly message: string };
  };
  export = error;
}
