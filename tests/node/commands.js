import { createInterface } from 'node:readline';

/**
 * Does what the test asks for: each line of the input is a name and a list of arguments, each line
 * of the output the result. Greets first, and ends with the input.
 */
export async function obey(greeting, act) {
  say({ value: greeting });
  for await (const line of createInterface({ input: process.stdin })) {
    const [name, args] = JSON.parse(line);
    try {
      say({ value: (await act(name, args)) ?? null });
    } catch (error) {
      say({ error: String(error.stack ?? error) });
    }
  }
}

function say(answer) {
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
