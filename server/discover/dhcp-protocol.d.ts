/** The part of npm `dhcp`'s header codec that dhcp-packet.ts uses; the package ships no types. */
declare module 'dhcp/lib/protocol.js' {
  interface Header {
    op: number;
    htype: number;
    hlen: number;
    hops: number;
    xid: number;
    secs: number;
    flags: number;
    ciaddr: string;
    yiaddr: string;
    siaddr: string;
    giaddr: string;
    /** Upper case, dashes. */
    chaddr: string;
    sname: string;
    file: string;
  }
  const protocol: {
    /** Throws Error or RangeError for short packets and hardware types other than Ethernet. */
    parse(bytes: Buffer): Header;
    /** The packet is at the start of `_data`, a zero-filled buffer of 1500 bytes. */
    format(packet: Header & { options: object }): { _data: Buffer };
  };
  export = protocol;
}
