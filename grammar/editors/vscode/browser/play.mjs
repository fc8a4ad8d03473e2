// The packaged extension in VS Code, in a browser: what a user sees. Run by `check`, after `browser/install`.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, test } from 'node:test';

const PLACE = resolve('../../../target/code-server');
const { chromium } = createRequire(`${PLACE}/`)('playwright-core');
const SERVER = join(PLACE, 'node_modules/code-server/out/node/entry.js');
const STAGE = 'image = "a:1", run = "true"';
const LIMIT = { timeout: 60_000 };

const home = mkdtempSync(join(tmpdir(), 'konductor-vscode-'));
const work = join(home, 'work');
const options = ['--user-data-dir', join(home, 'data'), '--extensions-dir', join(home, 'extensions')];
const env = { ...process.env, HOME: home, XDG_CONFIG_HOME: join(home, 'config') };
let server, browser, address;

before(async () => {
  mkdirSync(work);
  mkdirSync(join(home, 'data/User'), { recursive: true });
  const settings = {
    'konductor.path': process.env.KONCLI,
    'security.workspace.trust.enabled': false,
    'workbench.startupEditor': 'none',
    'editor.minimap.enabled': false,
    'chat.disableAIFeatures': true,
  };
  writeFileSync(join(home, 'data/User/settings.json'), JSON.stringify(settings));
  const vsix = resolve('../../../target/vscode/konductor.vsix');
  const installed = spawnSync(process.execPath, [SERVER, ...options, '--install-extension', vsix], { env });
  assert.equal(installed.status, 0, String(installed.stderr));
  const listen = ['--auth', 'none', '--bind-addr', '127.0.0.1:0', '--disable-telemetry', '--disable-update-check'];
  server = spawn(process.execPath, [SERVER, ...options, ...listen], { env, stdio: ['ignore', 'pipe', 'ignore'] });
  address = await new Promise((found, failed) => {
    let log = '';
    // It is read to its end: a full pipe would stop the server.
    server.stdout.on('data', text => {
      log += text;
      const line = /HTTP server listening on (\S+)/.exec(log);
      if (line) found(line[1]);
    });
    server.on('exit', () => failed(new Error(log)));
  });
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox'] });
}, LIMIT);

after(async () => {
  await browser?.close();
  if (server?.exitCode === null) {
    server.kill();
    await once(server, 'exit');
  }
});

/** Opens a file as a user would. The server has answered when it says what a stage waits for. */
async function opened(name, text) {
  writeFileSync(join(work, name), text);
  const page = await browser.newPage({ viewport: { width: 1400, height: 900 }, colorScheme: 'light' });
  const host = new URL(address).host;
  const payload = JSON.stringify([['openFile', `vscode-remote://${host}${work}/${name}`]]);
  await page.goto(`${address}?folder=${work}&payload=${encodeURIComponent(payload)}`);
  await page.waitForSelector('.monaco-editor .view-line', LIMIT);
  return page;
}

/** The picture of the preview, once it shows a text. */
async function picture(page, text) {
  for (;;) {
    for (const frame of page.frames().filter(frame => frame.url().includes('fake.html'))) {
      const source = await frame.locator('img').getAttribute('src', { timeout: 1000 }).catch(() => null);
      const svg = Buffer.from(source?.split('base64,')[1] ?? '', 'base64').toString();
      if (!svg.includes(text)) continue;
      const image = await frame.locator('img').evaluateHandle(image => image.decode().then(() => image));
      return image.evaluate(image => image.naturalWidth);
    }
    await page.waitForTimeout(50);
  }
}

test('a mistake is underlined, and its fix makes it go away', LIMIT, async context => {
  if (spawnSync(process.env.KONCLI, ['lsp', '--help']).status !== 0) return context.skip('koncli has no language server');
  const page = await opened('a.kon', `pipeline p {\n  stage load { ${STAGE} }\n  stage report after laod { ${STAGE} }\n}\n`);
  await page.waitForSelector('.squiggly-error', LIMIT);
  // The menu closes if the colours of the server arrive meanwhile: it is opened until it has the fix.
  const fix = page.getByText('Write `load`');
  while (!(await fix.isVisible())) {
    await page.keyboard.press('Escape');
    // By its place: the editor lays its cursor over the word.
    const word = await page.locator('.view-line span', { hasText: /^\s*laod\s*$/ }).last().boundingBox();
    await page.mouse.click(word.x + word.width / 2, word.y + word.height / 2);
    await page.keyboard.press('Control+.');
    await fix.waitFor({ timeout: 3000 }).catch(() => {});
  }
  await fix.click();
  await page.waitForSelector('.squiggly-error', { state: 'detached' });
  assert.match(await page.locator('.view-lines').innerText(), /after\s+load/);
  await page.close();
});

test('the preview shows the graph, and follows what is typed', LIMIT, async () => {
  const page = await opened('b.kon', `pipeline p {\n  stage first { ${STAGE} }\n}\n`);
  await page.click('.editor-actions [aria-label^="Open Graph"]');
  assert.ok((await picture(page, '>first<')) > 50);
  await page.click('.view-line >> nth=1');
  await page.keyboard.press('End');
  await page.keyboard.insertText(`\n  stage second after first { ${STAGE} }`);
  assert.ok((await picture(page, '>second<')) > 50);
  await page.close();
});

test('the check lists what is wrong in files that are not open', LIMIT, async () => {
  writeFileSync(join(work, 'closed.kon'), `pipeline p {\n  stage s after nothing { ${STAGE} }\n}\n`);
  const page = await opened('c.kon', `pipeline p {\n  stage s { ${STAGE} }\n}\n`);
  await page.waitForSelector('.editor-actions [aria-label^="Open Graph"]');
  await page.keyboard.press('F1');
  await page.keyboard.insertText('>konductor: Check All Pipelines');
  await page.click('.quick-input-list [aria-label*="Check All Pipelines"]');
  await page.waitForSelector('.markers-panel [aria-label*="closed.kon"]');
  await page.close();
});
