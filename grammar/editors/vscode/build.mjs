// Bundles the extension into dist/, with the TextMate grammar beside it; with --test, the tests into dist-test/.
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { build } from 'esbuild';

const options = { bundle: true, platform: 'node', format: 'cjs', target: 'node20', logLevel: 'warning' };

rmSync('dist', { recursive: true, force: true });
mkdirSync('dist', { recursive: true });
mkdirSync('../../../target/vscode', { recursive: true });
copyFileSync('../konductor.tmLanguage.json', 'dist/konductor.tmLanguage.json');
copyFileSync('../../../LICENSE', 'LICENSE');
const { metafile } = await build({
  ...options,
  entryPoints: ['src/extension.ts'],
  outdir: 'dist',
  external: ['vscode'],
  minify: true,
  metafile: true,
});
writeFileSync('dist/NOTICES.txt', notices(Object.keys(metafile.inputs)));

/** The licences of what others have written and the bundle has in it. */
function notices(inputs) {
  const names = inputs.map(input => /.*node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(input)?.[0]);
  const folders = [...new Set(names.filter(Boolean))].sort();
  const licences = folders.map(folder => {
    const file = readdirSync(folder).find(name => /^licen[cs]e/i.test(name));
    if (!file) throw new Error(`${folder} has no licence file`);
    return `${folder.split('node_modules/').pop().slice(0, -1)}\n\n${readFileSync(folder + file, 'utf8').trim()}\n`;
  });
  return licences.join(`\n${'-'.repeat(80)}\n\n`);
}

if (process.argv.includes('--test')) {
  const tests = readdirSync('test').filter(name => name.endsWith('.test.ts'));
  rmSync('dist-test', { recursive: true, force: true });
  await build({
    ...options,
    entryPoints: tests.map(name => `test/${name}`),
    outdir: 'dist-test',
    packages: 'external',
    // What VS Code hands to an extension is played by a few lines.
    alias: { vscode: './test/vscode.ts' },
  });
}
