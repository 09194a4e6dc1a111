/**
 * Runs pkg in a process of its own, because it takes its cache folder from HOME. Called by agent-executable.ts with one
 * JSON argument. pkg's command line has no way to give V8 flags and assets to a single-file executable, so this calls the
 * function behind it; the package is pinned to one exact version.
 */
import sea from '@yao-pkg/pkg/lib-es5/sea.js';

const { entry, target, seaConfig } = JSON.parse(process.argv[2] ?? '{}');
await sea.default(entry, { targets: [target], seaConfig });
