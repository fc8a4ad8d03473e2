import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';

/** The koncli to test with. */
export function koncli(): string {
  const path = process.env['KONCLI'];
  if (!path) throw new Error('name koncli in $KONCLI');
  return path;
}

/** A new folder with these files. */
export function folder(files: Record<string, string>): string {
  const path = mkdtempSync(join(tmpdir(), 'konductor-'));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(path, name), text);
  return path;
}

/** Waits until something is true, which the test runner's own limit ends. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await setImmediate();
}
