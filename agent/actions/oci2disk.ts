import type { Oci2diskParams } from '#proto/actions/oci2disk.ts';
import { chooseLayer, manifestFor } from '#transfer/oci/choose-layer.ts';
import { RegistryClient } from '#transfer/oci/registry-client.ts';
import { LayerSink } from '../oci/layer-sink.ts';
import { type ImageWritten, writeImage } from '../write/write-image.ts';
import type { ActionContext } from './action-context.ts';
import { everySoOften, settleImage } from './image-on-disk.ts';

/** Streams the image in an OCI registry to a disk; the manifest's digest of it is enforced. */
export async function oci2disk(params: Oci2diskParams, context: ActionContext): Promise<void> {
  const startedAt = performance.now();
  const { imageBytes, format, partitions } = await writeLayer(params, context);
  await settleImage(params.disk, partitions, context);
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  const summary = `wrote ${imageBytes} bytes (${format}) to ${params.disk} in ${seconds} s`;
  context.log('agent', `${summary}, ${partitions.length} partition(s)`);
}

async function writeLayer(params: Oci2diskParams, context: ActionContext): Promise<ImageWritten> {
  const { machine, progress, standstill, signal } = context;
  const log = (text: string): void => context.log('agent', text);
  const { image, proxy, retryForMs } = params;
  const registry = new RegistryClient({ ...params, signal, log });
  const first = await registry.manifest('tag' in image.version ? image.version.tag : image.version.digest);
  const digest = manifestFor(first, process.arch === 'arm64' ? 'arm64' : 'amd64');
  const layer = chooseLayer(digest === undefined ? first : await registry.manifest(digest));
  log(`the image is the layer ${layer.digest} ${layer.title ?? ''}`.trimEnd());
  await using disk = await machine.openDisk(params.disk, { signal });
  const line = everySoOften(params.progressEveryMs);
  return await writeImage(
    disk,
    {
      url: registry.blobUrl(layer.digest),
      sha256: layer.digest.slice('sha256:'.length),
      sha256From: 'the manifest',
      unwrap: (sink) => new LayerSink(sink),
      access: registry,
      startFilter: (argv) => machine.startFilter(argv),
      proxy,
      retryForMs,
    },
    {
      signal,
      log,
      standstill,
      progress: ({ done, total, written }) => {
        progress({ done, ...(total === undefined ? {} : { total }) });
        line(() => log(`downloaded ${done} of ${total ?? 'an unknown number of'} bytes, written ${written}`));
      },
    },
  );
}
