/** Manifests for machines of the lab, as an operator would write them. */

export interface LabMachine {
  readonly name: string;
  readonly mac: string;
  /** In the lab's network 10.77.0.0/24. */
  readonly address: string;
  /** Default /dev/vda. */
  readonly disk?: string;
  readonly userData?: string;
  /** Keys of the instance's metadata: a cloud's way to let somebody in as the image's own user. */
  readonly sshKeys?: readonly string[];
}

export function hardwareYaml({ name, mac, address, disk = '/dev/vda', userData, sshKeys }: LabMachine): string {
  return `apiVersion: tinkerbell.org/v1alpha1
kind: Hardware
metadata:
  name: ${name}
  labels: { type: cp }
spec:
  disks:
    - device: ${disk}
  interfaces:
    - netboot: { allowPXE: true, allowWorkflow: true }
      dhcp:
        mac: ${mac}
        hostname: ${name}
        lease_time: 3600
        name_servers: [10.77.0.1]
        ip: { address: ${address}, netmask: 255.255.255.0, gateway: 10.77.0.1, family: 4 }
${userData === undefined ? '' : `  userData: ${JSON.stringify(userData)}\n`}\
${sshKeys === undefined ? '' : `  metadata: ${JSON.stringify({ instance: { ssh_keys: sshKeys } })}\n`}`;
}

export interface LabTemplate {
  readonly name: string;
  readonly imageUrl: string;
  readonly rootPartition: number;
  /** Default: the one in the Hardware record. */
  readonly hostname?: string;
  /** What the template believes is on the root partition. Default ext4, which is true. */
  readonly fileSystem?: string;
  /** More lines of the image action's environment. */
  readonly imageEnvironment?: Readonly<Record<string, string>>;
}

/** Streams an image, names the host on the installed system and restarts: what a small installation is made of. */
export function templateYaml(template: LabTemplate): string {
  const { name, imageUrl, rootPartition, fileSystem = 'ext4', imageEnvironment = {} } = template;
  const hostname = template.hostname ?? '{{ (index .Hardware.Interfaces 0).DHCP.Hostname }}';
  const more = Object.entries(imageEnvironment).map(
    ([key, value]) => `\n              ${key}: ${JSON.stringify(value)}`,
  );
  return `apiVersion: tinkerbell.org/v1alpha1
kind: Template
metadata:
  name: ${name}
spec:
  data: |
    version: "0.1"
    name: ${name}
    global_timeout: 900
    tasks:
      - name: install
        worker: "{{.device_1}}"
        volumes: [/dev:/dev, /dev/console:/dev/console]
        actions:
          - name: stream-image
            image: quay.io/tinkerbell/actions/image2disk:latest
            timeout: 600
            environment:
              DEST_DISK: "{{ index .Hardware.Disks 0 }}"
              IMG_URL: ${imageUrl}
              COMPRESSED: "true"${more.join('')}
          - name: write-hostname
            image: quay.io/tinkerbell/actions/writefile:latest
            timeout: 90
            environment:
              DEST_DISK: "{{ formatPartition (index .Hardware.Disks 0) ${rootPartition} }}"
              FS_TYPE: ${fileSystem}
              DEST_PATH: /etc/hostname
              CONTENTS: |
                ${hostname}
              UID: "0"
              GID: "0"
              MODE: "0644"
              DIRMODE: "0755"
          - name: write-marker
            image: quay.io/tinkerbell/actions/writefile:latest
            timeout: 90
            environment:
              DEST_DISK: "{{ formatPartition (index .Hardware.Disks 0) ${rootPartition} }}"
              FS_TYPE: ext4
              DEST_PATH: /etc/tinsmith-workflow
              CONTENTS: ${name}
              UID: "0"
              GID: "0"
              MODE: "0600"
              DIRMODE: "0755"
          - name: restart
            image: quay.io/tinkerbell/actions/reboot:latest
            timeout: 60
`;
}

export function workflowYaml(name: string, template: string, hardware: string): string {
  return `apiVersion: tinkerbell.org/v1alpha1
kind: Workflow
metadata:
  name: ${name}
spec:
  templateRef: ${template}
  hardwareRef: ${hardware}
`;
}

export interface LabAction {
  /** Base name: the registry and the name in the workflow are made. */
  readonly image: string;
  readonly command?: string;
  readonly environment?: Readonly<Record<string, string>>;
}

/** A template of nothing but these actions, one after the other, named `<number>-<image>`. */
export function actionsYaml(name: string, steps: readonly LabAction[], timeout = 180): string {
  const actions = steps.map(({ image, command, environment }, index) => ({
    name: `${index + 1}-${image}`,
    image: `quay.io/tinkerbell/actions/${image}:latest`,
    timeout,
    ...(command === undefined ? {} : { command: [command] }),
    ...(environment === undefined ? {} : { environment }),
  }));
  const tasks = [{ name, worker: '{{.device_1}}', actions }];
  return JSON.stringify({
    apiVersion: 'tinkerbell.org/v1alpha1',
    kind: 'Template',
    metadata: { name },
    spec: { data: JSON.stringify({ version: '0.1', name, global_timeout: 900, tasks }) },
  });
}
