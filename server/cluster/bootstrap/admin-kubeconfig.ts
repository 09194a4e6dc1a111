import { type ClientIdentity, issueClient, type KeyPair } from './cluster-pki.ts';
import { yamlText } from './yaml-text.ts';

/** As long as the one that kubeadm leaves on the first control-plane node. */
const LIFE_MS = 365 * 24 * 3_600_000;

export interface KubeconfigRequest {
  readonly cluster: string;
  /** `https://10.0.0.10:6443` */
  readonly server: string;
  /** Certificate of the authority that the API server's own certificate is from, PEM. */
  readonly serverAuthority: string;
  /** What issues client certificates. */
  readonly clientAuthority: KeyPair;
  readonly identity: ClientIdentity;
  readonly at: Date;
}

/** A kubeconfig that holds everything: nothing in it points to a file. It is a secret. */
export async function adminKubeconfig(request: KubeconfigRequest): Promise<string> {
  const { cluster, server, identity, at } = request;
  const client = await issueClient(request.clientAuthority, identity, { at, lifeMs: LIFE_MS });
  const user = `${cluster}-admin`;
  const context = `${user}@${cluster}`;
  return yamlText({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: cluster, cluster: { server, 'certificate-authority-data': base64(request.serverAuthority) } }],
    users: [
      {
        name: user,
        user: { 'client-certificate-data': base64(client.certificate), 'client-key-data': base64(client.key) },
      },
    ],
    contexts: [{ name: context, context: { cluster, user } }],
    'current-context': context,
  });
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}
