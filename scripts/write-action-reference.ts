/** Writes docs/actions.md; part of `npm run generate`. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { actionReference } from './action-reference.ts';

const docs = resolve(import.meta.dirname, '../docs');
mkdirSync(docs, { recursive: true });
writeFileSync(resolve(docs, 'actions.md'), actionReference());
