import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { HardwareDhcp, HardwareInterface } from '../manifests/hardware-kind.ts';
import { type DhcpAnswer, type DhcpClient, type DhcpSettings, dhcpAnswer } from './dhcp-answer.ts';
import { addresses, type MessageType, messageType, messageTypeOf, OPTION } from './dhcp-options.ts';
import type { DhcpPacket } from './dhcp-packet.ts';

const MAC = '52:54:00:77:00:01';
const SERVER = '10.77.0.1';
const DHCP: HardwareDhcp = {
  mac: MAC,
  hostname: 'node-1',
  domain_name: 'lab.example',
  lease_time: 4000,
  name_servers: ['10.77.0.2', 'fd77::2'],
  time_servers: ['10.77.0.3', 'time.example'],
  ip: { address: '10.77.0.50', netmask: '255.255.255.0', gateway: '10.77.0.254' },
  classless_static_routes: [{ destination_descriptor: '10.128.0.0/9', router: '10.77.0.9' }],
};
const ALL_FILES = ['undionly.kpxe', 'snponly.efi', 'snp-arm64.efi'];

type Options = Readonly<Record<number, Buffer | string>>;

function settings(change: Partial<DhcpSettings> & { readonly files?: readonly string[] } = {}): DhcpSettings {
  const { files = ALL_FILES, ...rest } = change;
  return {
    mode: 'reservation',
    source: { address: SERVER, httpPort: 7171, files: new Set(files) },
    leaseSeconds: 86_400,
    discovery: false,
    ...rest,
  };
}

function known(
  change: {
    dhcp?: Partial<HardwareDhcp>;
    iface?: Partial<HardwareInterface>;
    netboot?: boolean;
    retired?: boolean;
  } = {},
): DhcpClient {
  return {
    kind: 'known',
    hardware: {
      name: 'node-1',
      netboot: change.netboot ?? true,
      stage: change.retired === true ? 'retired' : 'discovered',
    },
    iface: { dhcp: { ...DHCP, ...change.dhcp }, ...change.iface },
  };
}

function packet(type: MessageType, options: Options = {}, header: Partial<DhcpPacket> = {}): DhcpPacket {
  const values = Object.entries(options).map(([code, value]) => [Number(code), Buffer.from(value as string)] as const);
  return {
    op: 'request',
    hops: 0,
    xid: 42,
    secs: 0,
    flags: 0,
    ciaddr: '0.0.0.0',
    yiaddr: '0.0.0.0',
    siaddr: '0.0.0.0',
    giaddr: '0.0.0.0',
    mac: MAC,
    sname: '',
    file: '',
    ...header,
    options: new Map([[OPTION.messageType, messageType(type)], ...values]),
  };
}

function answer(
  question: DhcpPacket,
  client: DhcpClient = known(),
  change: Parameters<typeof settings>[0] = {},
  port4011 = false,
): DhcpAnswer {
  return dhcpAnswer({ packet: question, client, settings: settings(change), isBootServerPort: port4011 });
}

function replied(given: DhcpAnswer): DhcpAnswer & { kind: 'reply' } {
  assert.ok(given.kind === 'reply', JSON.stringify(given));
  return given;
}

function text(given: DhcpPacket, code: number): string | undefined {
  return given.options.get(code)?.toString('latin1');
}

function hex(given: DhcpPacket, code: number): string | undefined {
  return given.options.get(code)?.toString('hex');
}

function architecture(...numbers: readonly number[]): Buffer {
  return Buffer.from(numbers.flatMap((number) => [number >> 8, number & 255]));
}

const PXE_BIOS: Options = {
  [OPTION.vendorClass]: 'PXEClient:Arch:00000:UNDI:002001',
  [OPTION.architecture]: architecture(0),
};

describe('dhcp answer: addresses', () => {
  it('offers the reservation with everything that the Hardware says about its network', () => {
    const offer = replied(answer(packet('discover'))).packet;

    assert.equal(messageTypeOf(offer.options), 'offer');
    assert.equal(offer.yiaddr, '10.77.0.50');
    assert.deepEqual(
      [1, 3, 6, 28, 42, 54].map((code) => offer.options.get(code)?.join('.')),
      ['255.255.255.0', '10.77.0.254', '10.77.0.2', '10.77.0.255', '10.77.0.3', SERVER],
    );
    assert.deepEqual(
      [text(offer, 12), text(offer, 15), hex(offer, 119)],
      ['node-1', 'lab.example', '036c6162076578616d706c6500'],
    );
    assert.deepEqual(
      [51, 58, 59].map((code) => offer.options.get(code)?.readUInt32BE()),
      [4000, 2000, 3500],
    );
  });

  it('repeats the default route among the classless routes, since clients then ignore option 3', () => {
    const offer = replied(answer(packet('discover'))).packet;

    assert.equal(hex(offer, OPTION.classlessRoutes), '090a800a4d0009000a4d00fe');
  });

  it('gives no renewal times for an infinite lease, and its own lease time where Hardware names none', () => {
    const infinite = replied(answer(packet('discover'), known({ dhcp: { lease_time: 2 ** 40 } }))).packet;
    const unnamed = replied(answer(packet('discover'), known({ dhcp: { lease_time: 0 } }))).packet;

    assert.deepEqual(
      [hex(infinite, 51), infinite.options.has(58), infinite.options.has(59)],
      ['ffffffff', false, false],
    );
    assert.equal(unnamed.options.get(51)?.readUInt32BE(), 86_400);
  });

  it('echoes client id, machine id and relay agent information', () => {
    const ids: Options = {
      61: Buffer.from('0152540000', 'hex'),
      97: Buffer.alloc(17, 1),
      82: Buffer.from('0102abcd', 'hex'),
    };
    const offer = replied(answer(packet('discover', ids))).packet;

    assert.deepEqual([hex(offer, 61), hex(offer, 97), hex(offer, 82)], ['0152540000', '01'.repeat(17), '0102abcd']);
  });

  it('acknowledges the address it offered, in every state of a client', () => {
    const selecting = packet('request', { 50: addresses(['10.77.0.50']), 54: addresses([SERVER]) });
    const rebooting = packet('request', { 50: addresses(['10.77.0.50']) });
    const renewing = packet('request', {}, { ciaddr: '10.77.0.50' });

    assert.deepEqual(
      [selecting, rebooting, renewing].map((question) => replied(answer(question)).type),
      ['ack', 'ack', 'ack'],
    );
    assert.deepEqual(replied(answer(renewing)).destination, { kind: 'client', address: '10.77.0.50' });
    assert.deepEqual(replied(answer(selecting)).destination, { kind: 'broadcast' });
  });

  it('refuses another address, by broadcast and without boot file', () => {
    const refused = replied(answer(packet('request', { ...PXE_BIOS, 50: addresses(['10.77.0.51']) })));

    assert.deepEqual([refused.type, refused.packet.yiaddr, refused.packet.file], ['nak', '0.0.0.0', '']);
    assert.deepEqual([...refused.packet.options.keys()], [53, 54]);
    assert.deepEqual(refused.destination, { kind: 'broadcast' });
  });

  it('refuses through a relay with the broadcast bit set', () => {
    const refused = replied(answer(packet('request', { 50: addresses(['10.77.0.51']) }, { giaddr: '10.88.0.1' })));

    assert.equal(refused.packet.flags, 0x8000);
    assert.deepEqual(refused.destination, { kind: 'relay', address: '10.88.0.1' });
  });

  it('answers a relayed packet to the relay, with giaddr and option 82 as they came', () => {
    const offer = replied(answer(packet('discover', { 82: 'abc' }, { giaddr: '10.88.0.1' })));

    assert.deepEqual(offer.destination, { kind: 'relay', address: '10.88.0.1' });
    assert.deepEqual([offer.packet.giaddr, text(offer.packet, 82)], ['10.88.0.1', 'abc']);
  });

  it('answers an INFORM with parameters but without address and lease', () => {
    const ack = replied(answer(packet('inform', {}, { ciaddr: '10.77.0.50' })));

    assert.deepEqual(
      [ack.packet.yiaddr, ack.packet.ciaddr, ack.packet.options.has(51)],
      ['0.0.0.0', '10.77.0.50', false],
    );
    assert.deepEqual(ack.destination, { kind: 'client', address: '10.77.0.50' });
  });

  const silent: readonly [string, DhcpPacket, DhcpClient][] = [
    [
      'a request that took another server’s offer',
      packet('request', { 54: addresses(['10.77.0.2']), 50: addresses(['10.77.0.50']) }),
      known(),
    ],
    ['an unknown machine', packet('discover'), { kind: 'unknown' }],
    [
      'an unknown machine that asks for its former address',
      packet('request', { 50: addresses(['10.9.9.9']) }),
      { kind: 'unknown', poolAddress: '10.77.0.90' },
    ],
    ['an interface with disableDhcp', packet('discover'), known({ iface: { disableDhcp: true } })],
    [
      'a machine with an IPv6 reservation only',
      packet('discover'),
      known({ dhcp: { ip: { address: 'fd77::5', netmask: '64', family: 6 } } }),
    ],
    ['a reply', packet('discover', {}, { op: 'reply' }), known()],
    ['BOOTP', { ...packet('discover'), options: new Map() }, known()],
    ['a message type of two bytes', packet('discover', { 53: Buffer.from([1, 1]) }), known()],
    ['an OFFER', packet('offer'), known()],
    ['a DECLINE', packet('decline', { 54: addresses([SERVER]), 50: addresses(['10.77.0.50']) }), known()],
    ['a RELEASE', packet('release', { 54: addresses([SERVER]) }, { ciaddr: '10.77.0.50' }), known()],
    ['an INFORM without address', packet('inform'), known()],
    ['a REQUEST for nothing', packet('request'), known()],
  ];
  for (const [what, question, client] of silent) {
    it(`is silent to ${what}`, () => {
      assert.equal(answer(question, client).kind, 'silence');
    });
  }

  it('gives unknown machines a pool address with the pool’s network, and no boot file while discovery is off', () => {
    const pool = { netmask: '255.255.0.0', gateway: '10.77.0.254', nameServers: ['9.9.9.9'] };
    const offer = replied(
      answer(packet('discover', PXE_BIOS), { kind: 'unknown', poolAddress: '10.77.0.90' }, { pool }),
    ).packet;

    assert.equal(offer.yiaddr, '10.77.0.90');
    assert.deepEqual(
      [1, 3, 6, 28].map((code) => offer.options.get(code)?.join('.')),
      ['255.255.0.0', '10.77.0.254', '9.9.9.9', '10.77.255.255'],
    );
    assert.deepEqual([offer.file, offer.options.has(67), offer.siaddr], ['', false, '0.0.0.0']);
  });

  it('boots unknown machines from the pool when discovery is on', () => {
    const pool = { netmask: '255.255.255.0', nameServers: [] };
    const offer = replied(
      answer(packet('discover', PXE_BIOS), { kind: 'unknown', poolAddress: '10.77.0.90' }, { pool, discovery: true }),
    ).packet;

    assert.equal(offer.file, 'undionly.kpxe');
  });
});

describe('dhcp answer: booting', () => {
  for (const [what, numbers, file] of [
    ['a BIOS', [0], 'undionly.kpxe'],
    ['x64 UEFI', [7], 'snponly.efi'],
    ['x64 UEFI that says EBC', [9], 'snponly.efi'],
    ['arm64 UEFI', [11], 'snp-arm64.efi'],
    ['a machine whose first architecture is unknown', [999, 7], 'snponly.efi'],
  ] as const) {
    it(`gives ${what} ${file} by TFTP, with 60 and 43 together`, () => {
      const { packet: offer } = replied(answer(packet('discover', { 60: 'PXEClient', 93: architecture(...numbers) })));

      assert.deepEqual([offer.siaddr, offer.file, text(offer, 66), text(offer, 67)], [SERVER, file, SERVER, file]);
      assert.deepEqual([text(offer, 60), hex(offer, 43)], ['PXEClient', '060108ff']);
    });
  }

  for (const [number, file] of [
    [15, 'snponly.efi'],
    [16, 'snponly.efi'],
    [19, 'snp-arm64.efi'],
    [20, 'undionly.kpxe'],
  ] as const) {
    it(`gives HTTP boot of architecture ${number} a URL, its own vendor class and no option 43`, () => {
      const { packet: offer } = replied(
        answer(packet('discover', { 60: 'HTTPClient:Arch:00016', 93: architecture(number) })),
      );

      assert.equal(text(offer, 67), `http://10.77.0.1:7171/boot/${file}`);
      assert.deepEqual([text(offer, 60), offer.options.has(43)], ['HTTPClient', false]);
    });
  }

  it('reads the architecture from the vendor class when option 93 is missing', () => {
    assert.equal(
      replied(answer(packet('discover', { 60: 'PXEClient:Arch:00007:UNDI:003016' }))).packet.file,
      'snponly.efi',
    );
  });

  for (const [what, options] of [
    ['bare text', { 77: 'iPXE' }],
    ['an RFC 3004 instance', { 77: '\x03foo\x04iPXE' }],
    ['its own options', { 175: Buffer.from('b105018086100e', 'hex') }],
  ] as const) {
    it(`sends iPXE, known by ${what}, to its script over HTTP and spares it the wait for a proxy`, () => {
      const { packet: offer } = replied(answer(packet('discover', { ...PXE_BIOS, ...options })));

      assert.equal(offer.file, `http://10.77.0.1:7171/ipxe/${MAC}/boot.ipxe`);
      assert.equal(text(offer, 67), offer.file);
      assert.equal(hex(offer, OPTION.ipxe), 'b00101');
      assert.equal(offer.options.has(OPTION.vendorClass), false);
    });
  }

  it('does not take a user class that only contains iPXE, or is cut short, for iPXE', () => {
    for (const userClass of ['iPXEx', '\x05iPXEx', '\x09iPXE']) {
      assert.equal(
        replied(answer(packet('discover', { ...PXE_BIOS, 77: userClass }))).packet.file,
        'undionly.kpxe',
        userClass,
      );
    }
  });

  for (const [what, client, change] of [
    ['netboot is off for the hardware', known({ netboot: false }), {}],
    [
      'allowPXE is false',
      known({ iface: { netboot: { allowPXE: false } } }),
      { files: [...ALL_FILES, 'localboot.efi'] },
    ],
    ['the machine is retired', known({ retired: true }), {}],
    ['there is no boot file for it', known(), { files: [] }],
  ] as const) {
    it(`gives the address without boot file when ${what}`, () => {
      const { packet: offer } = replied(
        answer(packet('discover', { ...PXE_BIOS, 93: architecture(7) }), client, change),
      );

      assert.equal(offer.yiaddr, '10.77.0.50');
      assert.deepEqual(
        [offer.siaddr, offer.file, 43, 60, 66, 67].map((value) =>
          typeof value === 'number' ? offer.options.has(value) : value,
        ),
        ['0.0.0.0', '', false, false, false, false],
      );
    });
  }

  it('boots the disk of an installed UEFI machine by localboot.efi where that exists, and leaves a BIOS alone', () => {
    const files = [...ALL_FILES, 'localboot.efi'];
    const installed = known({ netboot: false });
    const uefi = packet('discover', { 60: 'PXEClient', 93: architecture(7) });
    const ipxe = packet('discover', { 60: 'PXEClient', 93: architecture(7), 77: 'iPXE' });

    assert.equal(replied(answer(uefi, installed, { files })).packet.file, 'localboot.efi');
    assert.match(replied(answer(ipxe, installed, { files })).packet.file, /boot\.ipxe$/);
    assert.equal(replied(answer(packet('discover', PXE_BIOS), installed, { files })).packet.file, '');
  });

  it('gives an operating system no boot file', () => {
    assert.equal(replied(answer(packet('discover', { 60: 'udhcp 1.35.0' }))).packet.options.has(67), false);
  });

  it('puts the operator’s own TFTP server and file in place of ours', () => {
    const client = known({ dhcp: { tftp_server_name: '10.77.0.7', boot_file_name: 'own.0' } });
    const named = known({ dhcp: { tftp_server_name: 'tftp.example', boot_file_name: 'own.0' } });

    const own = replied(answer(packet('discover', PXE_BIOS), client)).packet;
    assert.deepEqual(
      [own.siaddr, own.file, text(own, 66), text(own, 67)],
      ['10.77.0.7', 'own.0', '10.77.0.7', 'own.0'],
    );
    assert.equal(replied(answer(packet('discover', PXE_BIOS), named)).packet.siaddr, '0.0.0.0');
  });

  it('puts a file name that is too long for its field into option 67 alone', () => {
    const file = `http://x/${'a'.repeat(150)}`;
    const client = known({ dhcp: { tftp_server_name: '10.77.0.7', boot_file_name: file } });

    const offer = replied(answer(packet('discover', PXE_BIOS), client)).packet;
    assert.deepEqual([offer.file, text(offer, 67)], ['', file]);
  });
});

describe('dhcp answer: beside another DHCP server', () => {
  const uefi: Options = { 60: 'PXEClient:Arch:00007:UNDI:003016', 93: architecture(7), 97: Buffer.alloc(17) };

  it('offers boot information without address, network or lease', () => {
    const offer = replied(answer(packet('discover', uefi), known(), { mode: 'proxy' })).packet;

    assert.deepEqual([offer.yiaddr, offer.siaddr, offer.file], ['0.0.0.0', SERVER, 'snponly.efi']);
    assert.deepEqual(
      [...offer.options.keys()].toSorted((a, b) => a - b),
      [43, 53, 54, 60, 66, 67, 97],
    );
  });

  it('answers the boot server port with an ACK to where the request came from', () => {
    const ack = replied(answer(packet('request', uefi, { ciaddr: '10.77.0.50' }), known(), { mode: 'proxy' }, true));

    assert.equal(ack.type, 'ack');
    assert.deepEqual(ack.destination, { kind: 'sender' });
    assert.equal(ack.packet.file, 'snponly.efi');
  });

  for (const [what, question, client] of [
    ['requests on port 67', packet('request', { ...uefi, 50: addresses(['10.77.0.50']) }), known()],
    ['operating systems', packet('discover', { 60: 'udhcp' }), known()],
    ['unknown machines', packet('discover', uefi), { kind: 'unknown' }],
    ['machines that boot their disk', packet('discover', uefi), known({ netboot: false })],
  ] as const) {
    it(`is silent to ${what}`, () => {
      assert.equal(answer(question, client, { mode: 'proxy' }).kind, 'silence');
    });
  }

  it('boots unknown machines when discovery is on', () => {
    const offer = replied(
      answer(packet('discover', { ...uefi, 77: 'iPXE' }), { kind: 'unknown' }, { mode: 'proxy', discovery: true }),
    );

    assert.match(offer.packet.file, /^http:.*boot\.ipxe$/);
  });
});
