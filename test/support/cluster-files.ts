/** Files of a cluster as an operator would write them. */

interface ClusterText {
  readonly name?: string;
  readonly controlPlane?: number;
  readonly workers?: number;
  readonly version?: string;
  readonly bootstrapper?: string;
}

/** A cluster of Ubuntu machines: the control plane takes those of `type=cp`, the group `md-0` those of `type=dp`. */
export function clusterYaml(cluster: ClusterText = {}): string {
  const { name = 'c1', controlPlane = 1, workers = 1, version = '1.30', bootstrapper = 'kubeadm' } = cluster;
  return `apiVersion: anywhere.eks.amazonaws.com/v1alpha1
kind: Cluster
metadata:
  name: ${name}
  annotations: { tinsmith.dev/bootstrapper: ${bootstrapper} }
spec:
  kubernetesVersion: "${version}"
  clusterNetwork:
    cniConfig: { cilium: {} }
    pods: { cidrBlocks: [192.168.0.0/16] }
    services: { cidrBlocks: [10.96.0.0/12] }
  controlPlaneConfiguration:
    count: ${controlPlane}
    endpoint: { host: 10.9.0.200 }
    machineGroupRef: { kind: TinkerbellMachineConfig, name: cp }
  workerNodeGroupConfigurations:
    - name: md-0
      count: ${workers}
      machineGroupRef: { kind: TinkerbellMachineConfig, name: dp }
  datacenterRef: { kind: TinkerbellDatacenterConfig, name: ${name} }
  managementCluster: { name: ${name} }
---
apiVersion: anywhere.eks.amazonaws.com/v1alpha1
kind: TinkerbellDatacenterConfig
metadata: { name: ${name} }
spec:
  tinkerbellIP: 10.9.0.254
  osImageURL: http://10.9.0.254:7171/images/ubuntu-${version.replace('.', '-')}.img.gz
${machineConfig('cp')}${machineConfig('dp')}`;
}

function machineConfig(type: string): string {
  return `---
apiVersion: anywhere.eks.amazonaws.com/v1alpha1
kind: TinkerbellMachineConfig
metadata: { name: ${type} }
spec:
  hardwareSelector: { type: ${type} }
  osFamily: ubuntu
  users:
    - name: ec2-user
      sshAuthorizedKeys: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJj8n3rtNnHkfJ7rZ5l6wTzq2pVQ1xv0mJ8yJtJq9K3b admin]
`;
}

/** Machine numbers and their `type`; `m<number>` has MAC and address of `hardwareManifest`. */
export function hardwareCsv(machines: Readonly<Record<number, string>>): string {
  const rows = Object.entries(machines).map(([number, type]) => {
    const mac = `02:00:00:00:00:${Number(number).toString(16).padStart(2, '0')}`;
    return `m${number},${mac},10.9.0.${number},255.255.255.0,10.9.0.254,10.9.0.253,type=${type},/dev/sda`;
  });
  return `hostname,mac,ip_address,netmask,gateway,nameservers,labels,disk\n${rows.join('\n')}\n`;
}
