import { chromium } from 'playwright-core';

/** Nothing beside the tests: no start page, no updates, no name that leads off this machine. */
const FLAGS = [
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-gpu',
  '--disable-sync',
  '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1',
  '--no-first-run',
  '--no-proxy-server',
  '--no-sandbox',
];

/** The browser of the machine. */
export function launch() {
  return chromium.launch({ executablePath: '/usr/bin/chromium', args: FLAGS });
}
