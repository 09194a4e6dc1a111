import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmod, mkdir, mkdtempDisposable, readFile, symlink, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, createServer as createListener } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { parse } from 'yaml';
import { readCloudConfig } from '#test/support/cloud-config-reader.ts';
import { type ExampleChanges, exampleDefinition, exampleNode } from '#test/support/example-node.ts';
import { phoneCall } from '../../installed/phone-call.ts';
import { shellText } from './bootstrap-script.ts';
import type { Bootstrapper, BootstrapStep } from './bootstrapper.ts';
import { k3s } from './k3s.ts';
import { kubeadm } from './kubeadm.ts';

/** A node's root in a folder, with programs of ours in front of the real ones, and the server that it calls. */
interface NodeRun {
  readonly bootstrapper?: Bootstrapper;
  readonly step: BootstrapStep;
  readonly changes?: ExampleChanges;
  /** Name → lines of sh, in which `$root` is the node's. */
  readonly programs: Readonly<Record<string, string>>;
  /** Programs of the system that the script may not find. */
  readonly without?: readonly string[];
}

interface NodeOutcome {
  readonly status: number;
  readonly output: string;
  /** `POST path body`, in order. */
  readonly calls: readonly string[];
  /** What our programs were called with, in order. */
  readonly commands: readonly string[];
  readonly file: (path: string) => Promise<string | undefined>;
}

const SYSTEM = ['awk', 'bash', 'cat', 'chmod', 'curl', 'grep', 'mkdir', 'mv', 'python3', 'rm', 'sed', 'sha256sum'];
const ALSO = ['head', 'mktemp', 'sort', 'tail', 'sleep', 'timeout', 'uname', 'wget'];
const KUBEADM_31 = 'if [ "$1" = version ]; then echo v1.31.14; fi';
const NODE_FILES = [
  /\/etc\/(?=kubernetes|containerd|rancher)/g,
  /\/var\/lib\/(?=tinsmith|rancher)/g,
  /\/usr\/local\/bin\//g,
];

async function runNode(run: NodeRun, look: (outcome: NodeOutcome) => Promise<void> | void): Promise<void> {
  await using root = await mkdtempDisposable(join(tmpdir(), 'tinsmith-node-'));
  const calls: string[] = [];
  await using home = await listening(
    createServer((request, response) => {
      let body = '';
      request.on('data', (chunk) => (body += chunk));
      request.on('end', () => {
        const call = phoneCall(
          new URL(request.url ?? '', 'http://home').searchParams,
          body,
          request.headers['content-type'] ?? '',
        );
        calls.push(
          `${request.method} ${request.url} ${call.status}${call.status === 'failed' ? `: ${call.detail}` : ''}`,
        );
        response.end('ok');
      });
    }),
  );
  // The API server, as far as the script looks at it.
  await using api = await listening(createListener((socket) => socket.destroy()));
  const { bootstrapper = kubeadm, step, changes = {} } = run;
  const secrets = await bootstrapper.makeSecrets(exampleDefinition(changes), new Date());
  const changed = { ...changes, controlPlane: { endpointHost: '127.0.0.1', ...changes.controlPlane } };
  const node = { ...exampleNode(step, secrets, changed), metadataUrl: `http://127.0.0.1:${home.port}` };
  const inRoot = (text: string): string =>
    NODE_FILES.reduce((moved, folder) => moved.replaceAll(folder, (found) => `${root.path}${found}`), text).replaceAll(
      ` '127.0.0.1' 6443`,
      ` '127.0.0.1' ${api.port}`,
    );
  const { files, document } = readCloudConfig(bootstrapper.userData(node)?.text ?? '');
  for (const [path, { content, permissions }] of files) {
    await mkdir(dirname(join(root.path, path)), { recursive: true });
    await writeFile(join(root.path, path), inRoot(content), { mode: Number.parseInt(permissions, 8) });
  }
  const log = join(root.path, 'commands');
  const bin = await programFolder(root.path, log, run);
  const [[program, script]] = document.runcmd;
  const env = { PATH: bin, LANG: 'C', http_proxy: 'http://127.0.0.1:9', HTTP_PROXY: 'http://127.0.0.1:9' };
  const result = await ended(program, [join(root.path, script)], env);
  const file = (path: string): Promise<string | undefined> =>
    readFile(join(root.path, path), 'utf8').then(
      (text) => text.replaceAll(root.path, ''),
      () => undefined,
    );
  const commands = ((await file('commands')) ?? '').split('\n').filter((line) => line !== '');
  await look({ ...result, output: result.output.replaceAll(root.path, ''), calls, commands, file });
}

function ended(
  program: string,
  words: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<{ status: number; output: string }> {
  return new Promise((resolve) => {
    const child = execFile(program, words, { env }, (_error, stdout, stderr) => {
      resolve({ status: child.exitCode ?? -1, output: stdout + stderr });
    });
  });
}

/** A folder with links to the system's programs that scripts may use, and with ours, which write down how they are called. */
async function programFolder(root: string, log: string, { programs, without = [] }: NodeRun): Promise<string> {
  const bin = join(root, 'bin');
  await mkdir(bin);
  for (const name of [...SYSTEM, ...ALSO].filter((candidate) => !without.includes(candidate))) {
    const found = await pathOf(name);
    if (found !== undefined) await symlink(found, join(bin, name));
  }
  for (const [name, lines] of Object.entries({ systemctl: '', ...programs })) {
    const path = name.startsWith('/') ? join(root, name) : join(bin, name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, `#!/bin/sh\nroot='${root}'\necho "${name} $*" >>'${log}'\n${lines}\n`);
    await chmod(path, 0o755);
  }
  assert.equal(bin.includes(delimiter), false);
  return bin;
}

/** Of the program itself: a version manager's shim would not find its way in a folder of ours. */
async function pathOf(name: string): Promise<string | undefined> {
  const [asked, words] =
    name === 'python3' ? [name, ['-c', 'import sys; print(sys.executable)']] : (['which', [name]] as const);
  const found = await promisify(execFile)(asked, words).catch(() => undefined);
  return found?.stdout.trim();
}

async function listening(
  server: Server | ReturnType<typeof createListener>,
): Promise<AsyncDisposable & { port: number }> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo; // a server that listens on TCP has one
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      server.close(() => resolve());
    });
  return { port, [Symbol.asyncDispose]: close };
}

describe('the bootstrap script of a kubeadm node', () => {
  it('initialises, puts super-admin.conf away, drops the token and calls home last', async () => {
    await runNode({ step: 'init', programs: { kubeadm: KUBEADM_31, ctr: '', containerd: '' } }, async (outcome) => {
      assert.equal(outcome.status, 0, outcome.output);
      assert.deepEqual(outcome.calls, ['POST /phone-home ready']);
      assert.deepEqual(
        outcome.commands.filter((line) => line.startsWith('kubeadm')),
        ['kubeadm version -o short', 'kubeadm init --config /var/lib/tinsmith/kubeadm.yaml --skip-token-print'],
      );
      assert.match((await outcome.file('/etc/kubernetes/manifests/kube-vip.yaml')) ?? '', /path: \S*\/admin\.conf\n/);
      assert.equal(await outcome.file('/var/lib/tinsmith/kubeadm.yaml'), undefined);
    });
  });

  it('takes version and images from what the image brought', async () => {
    const images = [
      'public.ecr.aws/eks-distro/kubernetes/kube-apiserver:v1.31.4-eks-1-31-12',
      'public.ecr.aws/eks-distro/kubernetes/kube-apiserver@sha256:00',
      'public.ecr.aws/eks-distro/etcd-io/etcd:v3.5.15-eks-1-31-12',
      'public.ecr.aws/eks-distro/coredns/coredns:v1.11.3-eks-1-31-12',
    ];
    const programs = {
      kubeadm: `${KUBEADM_31}\nif [ "$1" = init ]; then cat "$3" >"$3.seen"; fi`,
      ctr: images.map((image) => `echo ${image}`).join('\n'),
    };

    await runNode({ step: 'init', programs }, async ({ status, output, file }) => {
      assert.equal(status, 0, output);
      const seen = (await file('/var/lib/tinsmith/kubeadm.yaml.seen')) ?? '';
      assert.ok(
        seen.includes(`kubernetesVersion: v1.31.4-eks-1-31-12
imageRepository: public.ecr.aws/eks-distro/kubernetes
etcd:
  local:
    imageRepository: public.ecr.aws/eks-distro/etcd-io
    imageTag: v3.5.15-eks-1-31-12
dns:
  imageRepository: public.ecr.aws/eks-distro/coredns
  imageTag: v1.11.3-eks-1-31-12
controlPlaneEndpoint:`),
        seen,
      );
    });
  });

  it('takes the version of its kubeadm where the image brought no others', async () => {
    const kubeadmProgram = `${KUBEADM_31}\nif [ "$1" = init ]; then cat "$3" >"$3.seen"; fi`;
    const programs = { kubeadm: kubeadmProgram, ctr: 'echo registry.k8s.io/kube-apiserver:v1.30.1' };

    await runNode({ step: 'init', programs }, async ({ file }) => {
      const seen = (await file('/var/lib/tinsmith/kubeadm.yaml.seen')) ?? '';
      assert.match(seen, /^kubernetesVersion: v1\.31\.14\ncontrolPlaneEndpoint:/m);
    });
  });

  it('joins by its file alone', async () => {
    for (const step of ['joinControlPlane', 'joinWorker'] as const) {
      await runNode({ step, programs: { kubeadm: KUBEADM_31 } }, async ({ status, output, commands, calls }) => {
        assert.equal(status, 0, output);
        assert.equal(commands.at(-1), 'kubeadm join --config /var/lib/tinsmith/kubeadm.yaml');
        assert.deepEqual(calls, ['POST /phone-home ready']);
      });
    }
  });

  it('raises the version in the cluster’s configuration before a newer control-plane node joins, and never lowers it', async () => {
    const identity = `[ "$1" != kubeconfig ] || { cat "$4" >"$root/identity.yaml"; echo admin; }`;
    for (const { was, raised } of [
      { was: 'v1.30.9', raised: true },
      { was: 'v1.31.4', raised: true },
      { was: 'v1.31.14', raised: false },
      { was: 'v1.32.0', raised: false },
    ]) {
      const configuration = `apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nkubernetesVersion: ${was}\nscheduler: {}`;
      const kubectl = `
case "$*" in
  *' get configmap kubeadm-config '*) printf '%s' ${shellText(configuration)} ;;
  *' create configmap kubeadm-config '*) cat "$2"; for word in "$@"; do echo "$word"; done ;;
  *' replace '*) cat >"$root/replaced" ;;
esac`;
      const programs = { kubeadm: `${KUBEADM_31}\n${identity}`, kubectl };

      await runNode({ step: 'joinControlPlane', programs }, async ({ status, output, file, commands }) => {
        assert.equal(status, 0, output);
        const replaced = await file('replaced');
        assert.equal(replaced !== undefined, raised, was);
        if (raised) assert.ok(replaced?.includes(configuration.replace(was, 'v1.31.14')), replaced);
        assert.equal(parse((await file('identity.yaml')) ?? '').clusterName, 'mgmt');
        assert.match(commands.at(-1) ?? '', /^kubeadm join/);
        const scratch = /--config (\S+)\/cluster\.yaml/.exec(commands.join('\n'))?.[1] ?? '';
        await assert.rejects(readFile(join(scratch, 'admin.conf')), { code: 'ENOENT' }, 'the administrator is gone');
      });
    }
  });

  it('never counts as ready when kubeadm failed, and says where', async () => {
    const programs = { kubeadm: `${KUBEADM_31}\n[ "$1" = version ] || { echo 'no etcd' >&2; exit 7; }` };

    await runNode({ step: 'joinWorker', programs }, ({ status, output, calls }) => {
      assert.equal(status, 7);
      assert.match(output, /no etcd\ntinsmith: failed with status 7 at: kubeadm join\n/);
      assert.deepEqual(calls, ['POST /phone-home failed: kubeadm join (status 7)']);
    });
  });

  it('says what is wrong with an image without kubeadm or with another one', async () => {
    await runNode({ step: 'init', programs: {} }, ({ status, calls }) => {
      assert.equal(status, 1);
      assert.match(
        calls[0] ?? '',
        /look for kubeadm: this image has no kubeadm; choose one for Kubernetes 1\.31 \(status 1\)$/,
      );
    });
    await runNode({ step: 'init', programs: { kubeadm: 'echo v1.3.1' } }, ({ status, calls, commands }) => {
      assert.equal(status, 1);
      assert.match(calls[0] ?? '', /this image has kubeadm v1\.3\.1 and the cluster wants 1\.31 \(status 1\)$/);
      assert.ok(!commands.includes('kubeadm init'));
    });
    // What a program says may be anything; the call stays one that can be read.
    await runNode({ step: 'init', programs: { kubeadm: `echo 'v1"\\\\ü'` } }, ({ calls }) => {
      assert.match(calls[0] ?? '', /^POST \/phone-home failed: .*this image has kubeadm v1 and the cluster/);
    });
  });

  it('calls home by wget or Python where there is no curl, past every proxy', async () => {
    for (const without of [['curl'], ['curl', 'wget']]) {
      await runNode({ step: 'joinWorker', programs: { kubeadm: KUBEADM_31 }, without }, ({ status, output, calls }) => {
        assert.equal(status, 0, output);
        assert.deepEqual(calls, ['POST /phone-home ready']);
      });
    }
  });

  it('makes containerd read its folder of mirrors, in each state that its file may be in', async () => {
    const registryMirror = { endpoint: 'm', port: '5000', ociNamespaces: [], insecureSkipVerify: false };
    const table = '[plugins."io.containerd.grpc.v1.cri".registry]';
    const own = 'config_path = "/etc/containerd/certs.d"';
    const cases = [
      { before: undefined, after: `version = 2\n\n${table}\n  ${own}\n` },
      { before: `version = 2\n${table}\n  config_path = ""\n`, after: `version = 2\n${table}\n  ${own}\n` },
      { before: `version = 2\n${table}\n  ${own}\n`, after: `version = 2\n${table}\n  ${own}\n` },
    ];
    for (const { before, after } of cases) {
      const config = '$root/etc/containerd/config.toml';
      const lay = before === undefined ? '' : `printf '%s' '${before}' >${config}.new; mv ${config}.new ${config}`;
      const containerd = `PATH=/usr/bin:/bin\n[ -e ${config} ] || { ${lay || ':'}; }\nsed "s#\\"/etc#\\"$root/etc#" ${config} 2>/dev/null || true`;
      const run: NodeRun = {
        step: 'joinWorker',
        changes: { cluster: { registryMirror } },
        programs: { kubeadm: KUBEADM_31, containerd },
      };

      await runNode(run, async ({ status, output, commands, file }) => {
        assert.equal(status, 0, output);
        assert.equal((await file('/etc/containerd/config.toml'))?.trimStart(), after);
        assert.ok(commands.includes('systemctl restart containerd'));
      });
    }
  });
});

describe('the bootstrap script of a k3s node', () => {
  const k3sProgram = { '/usr/local/bin/k3s': 'echo "k3s version v1.31.4+k3s1 (abc)"' };

  it('starts the server that the image holds and calls home', async () => {
    await runNode({ bootstrapper: k3s, step: 'init', programs: k3sProgram }, ({ status, output, commands, calls }) => {
      assert.equal(status, 0, output);
      assert.deepEqual(commands.slice(-3), [
        'systemctl daemon-reload',
        'systemctl enable --quiet k3s',
        'systemctl start k3s',
      ]);
      assert.deepEqual(calls, ['POST /phone-home ready']);
    });
  });

  it('fetches k3s where it is missing, and only as its checksum says', async () => {
    const body = '#!/bin/sh\necho "k3s version v1.31.4+k3s1"\n';
    const release = 'https://github.com/k3s-io/k3s/releases/download/v1.31.4+k3s1';
    for (const content of [body, `${body}# tampered`]) {
      // A curl that knows the three pages of a release; calling home goes by wget.
      const curl = `
url=''; out=''
while [ $# -gt 0 ]; do case "$1" in -o) out=$2; shift ;; http*) url=$1 ;; esac; shift; done
case "$url" in
  https://update.k3s.io/v1-release/channels/v1.31) printf '%s' https://github.com/k3s-io/k3s/releases/tag/v1.31.4+k3s1 ;;
  ${release}/k3s|${release}/k3s-arm64) mkdir -p "$(dirname "$out")"; printf '%s' ${shellText(content)} >"$out" ;;
  ${release}/sha256sum-*.txt) sum=$(printf '%s' ${shellText(body)} | sha256sum | cut -d' ' -f1); echo "$sum  k3s"; echo "$sum  k3s-arm64" ;;
  *) exit 9 ;;
esac`;
      const programs = { curl: `PATH=/usr/bin:/bin:$PATH\n${curl}` };
      const run: NodeRun = { bootstrapper: k3s, step: 'init', programs, without: ['curl'] };

      await runNode(run, async ({ status, output, file }) => {
        assert.equal((await file('/usr/local/bin/k3s')) !== undefined, content === body, output);
        assert.match(output, content === body ? /start k3s/ : /fetch k3s: the checksum of k3s is another one/);
        assert.notEqual(status, 0, 'this curl does not call home');
      });
    }
  });

  it('refuses another minor version', async () => {
    const changes = { cluster: { kubernetesVersion: '1.30' } };
    await runNode({ bootstrapper: k3s, step: 'init', changes, programs: k3sProgram }, ({ status, calls }) => {
      assert.equal(status, 1);
      assert.match(calls[0] ?? '', /this image has k3s v1\.31\.4\+k3s1 and the cluster wants 1\.30 \(status 1\)$/);
    });
  });
});

describe('a word of a shell', () => {
  it('is that word, whatever is in it', async () => {
    for (const word of [`it's`, '$(id) `id` "x" \\', 'two\nlines', '']) {
      const { stdout } = await promisify(execFile)('bash', ['-c', `printf '%s' ${shellText(word)}`]);
      assert.equal(stdout, word);
    }
  });
});
