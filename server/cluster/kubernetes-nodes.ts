import type { BootstrapToken } from './bootstrap/bootstrapper.ts';
import type { NodeRole } from './node-groups.ts';

/** What is asked of a running Kubernetes when nodes come and go. Every verb may be repeated. Throws `unavailable` where its API cannot be reached. */
export interface KubernetesNodes {
  /** New nodes may join with this token until it expires. */
  addToken(token: BootstrapToken, signal: AbortSignal): Promise<void>;
  /** Moves its work elsewhere and forgets it; of the control plane its etcd member goes first. Nothing for an unknown node. */
  removeNode(node: { readonly name: string; readonly role: NodeRole }, signal: AbortSignal): Promise<void>;
}
