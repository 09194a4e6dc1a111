import type { Command, SettingSpec } from './command.ts';
import { applyCommand } from './commands/apply.ts';
import { clusterDeleteCommand, clusterScaleCommand, clusterUpgradeCommand } from './commands/cluster-change.ts';
import { clusterCreateCommand } from './commands/cluster-create.ts';
import {
  clusterDescribeCommand,
  clusterKubeconfigCommand,
  clusterListCommand,
  clusterResumeCommand,
  clusterWatchCommand,
} from './commands/cluster-list.ts';
import { clusterPlanCommand } from './commands/cluster-plan.ts';
import { completionCommand } from './commands/completion.ts';
import { deleteCommand } from './commands/delete.ts';
import { describeCommand } from './commands/describe.ts';
import {
  generateClusterConfigCommand,
  generateHardwareCommand,
  generateSchemaCommand,
  generateTemplateCommand,
} from './commands/generate.ts';
import { getCommand } from './commands/get.ts';
import { hardwareNetbootCommand } from './commands/hardware-netboot.ts';
import { hardwareReleaseCommand } from './commands/hardware-release.ts';
import { helpCommand } from './commands/help.ts';
import {
  imageAddCommand,
  imageGcCommand,
  imageListCommand,
  imageRemoveCommand,
  imageShowCommand,
  imageVerifyCommand,
} from './commands/image.ts';
import { imageCancelCommand } from './commands/image-cancel.ts';
import { imageMirrorCommand, imageServingCommand } from './commands/image-mirror.ts';
import { initramfsBuildCommand } from './commands/initramfs-build.ts';
import { logsCommand } from './commands/logs.ts';
import { serveCommand } from './commands/serve.ts';
import { validateCommand } from './commands/validate.ts';
import { versionCommand } from './commands/version.ts';
import { watchCommand } from './commands/watch.ts';
import { workflowCancelCommand, workflowRetryCommand } from './commands/workflow.ts';

/** Every command, in the order of the help. README lists exactly these (tested). */
export function listCommands(settings: readonly SettingSpec[]): readonly Command[] {
  return [
    serveCommand(settings),
    validateCommand,
    generateClusterConfigCommand,
    generateHardwareCommand,
    generateTemplateCommand,
    generateSchemaCommand,
    applyCommand,
    getCommand,
    describeCommand,
    deleteCommand,
    watchCommand,
    logsCommand,
    workflowCancelCommand,
    workflowRetryCommand,
    hardwareNetbootCommand,
    hardwareReleaseCommand,
    clusterPlanCommand,
    clusterCreateCommand,
    clusterWatchCommand,
    clusterListCommand,
    clusterDescribeCommand,
    clusterScaleCommand,
    clusterUpgradeCommand,
    clusterResumeCommand,
    clusterKubeconfigCommand,
    clusterDeleteCommand,
    imageAddCommand,
    imageListCommand,
    imageCancelCommand,
    imageShowCommand,
    imageVerifyCommand,
    imageRemoveCommand,
    imageGcCommand,
    imageMirrorCommand,
    imageServingCommand,
    initramfsBuildCommand,
    completionCommand,
    versionCommand,
    helpCommand,
  ];
}
