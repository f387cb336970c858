import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';

/** Serves files at an origin of its own, which it answers with. `/` is what is shown for all else. */
export async function serve(files) {
  const server = createServer(async (request, response) => {
    const [file, type] = files[request.url] ?? files['/'];
    response.setHeader('content-type', type);
    response.end(await readFile(new URL(file, import.meta.url)));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${server.address().port}`;
}
