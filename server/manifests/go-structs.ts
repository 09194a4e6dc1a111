/**
 * Tinkerbell's Go structs that a template can reach: JSON name → Go name, zero value and, for a nested struct, its fields.
 * A pointer's zero value is `null`: to go on from it is an error in Go, too.
 */
export type GoStruct = Readonly<Record<string, GoField>>;
export type GoField = readonly [goName: string, zero: unknown, fields?: () => GoStruct];

const IP: GoStruct = {
  address: ['Address', ''],
  netmask: ['Netmask', ''],
  gateway: ['Gateway', ''],
  family: ['Family', 0],
};

const ROUTE: GoStruct = {
  destination_descriptor: ['DestinationDescriptor', ''],
  router: ['Router', ''],
};

const DHCP: GoStruct = {
  mac: ['MAC', ''],
  hostname: ['Hostname', ''],
  domain_name: ['DomainName', ''],
  lease_time: ['LeaseTime', 0],
  name_servers: ['NameServers', []],
  time_servers: ['TimeServers', []],
  arch: ['Arch', ''],
  uefi: ['UEFI', false],
  iface_name: ['IfaceName', ''],
  ip: ['IP', null, () => IP],
  vlan_id: ['VLANID', ''],
  classless_static_routes: ['ClasslessStaticRoutes', [], () => ROUTE],
  tftp_server_name: ['TFTPServerName', ''],
  boot_file_name: ['BootFileName', ''],
};

const IPXE: GoStruct = { url: ['URL', ''], contents: ['Contents', ''], binary: ['Binary', ''] };

const OSIE: GoStruct = {
  baseURL: ['BaseURL', ''],
  kernel: ['Kernel', ''],
  initrd: ['Initrd', ''],
  kernelParams: ['KernelParams', []],
};

const NETBOOT: GoStruct = {
  allowPXE: ['AllowPXE', null],
  allowWorkflow: ['AllowWorkflow', null],
  ipxe: ['IPXE', null, () => IPXE],
  osie: ['OSIE', null, () => OSIE],
};

/** `spec.interfaces[]`. */
export const INTERFACE_STRUCT: GoStruct = {
  netboot: ['Netboot', null, () => NETBOOT],
  isoboot: ['Isoboot', null],
  dhcp: ['DHCP', null, () => DHCP],
  disableDhcp: ['DisableDHCP', false],
};

const INSTANCE_IP: GoStruct = { ...IP, public: ['Public', false], management: ['Management', false] };

const OPERATING_SYSTEM: GoStruct = {
  slug: ['Slug', ''],
  distro: ['Distro', ''],
  version: ['Version', ''],
  image_tag: ['ImageTag', ''],
  os_slug: ['OsSlug', ''],
};

const INSTANCE: GoStruct = {
  id: ['ID', ''],
  state: ['State', ''],
  hostname: ['Hostname', ''],
  allow_pxe: ['AllowPxe', false],
  rescue: ['Rescue', false],
  operating_system: ['OperatingSystem', null, () => OPERATING_SYSTEM],
  always_pxe: ['AlwaysPxe', false],
  ipxe_script_url: ['IpxeScriptURL', ''],
  ips: ['Ips', [], () => INSTANCE_IP],
  userdata: ['Userdata', ''],
  crypted_root_password: ['CryptedRootPassword', ''],
  tags: ['Tags', []],
  storage: ['Storage', null],
  ssh_keys: ['SSHKeys', []],
  network_ready: ['NetworkReady', false],
};

const FACILITY: GoStruct = {
  plan_slug: ['PlanSlug', ''],
  plan_version_slug: ['PlanVersionSlug', ''],
  facility_code: ['FacilityCode', ''],
};

/** `spec.metadata`. */
export const METADATA_STRUCT: GoStruct = {
  state: ['State', ''],
  bonding_mode: ['BondingMode', 0],
  manufacturer: ['Manufacturer', null, () => ({ id: ['ID', ''], slug: ['Slug', ''] })],
  instance: ['Instance', null, () => INSTANCE],
  custom: ['Custom', null],
  facility: ['Facility', null, () => FACILITY],
};
