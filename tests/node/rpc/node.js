// Calls from node.

import { bundle } from './bundle.js';

await import(await bundle('in-node.js', 'node'));
