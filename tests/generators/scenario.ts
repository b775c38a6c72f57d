declare const process: { env: Record<string, string> };

export const url = process.env.USERAUTH_URL;
export const account = { email: "susan@example.com", password: "correct horse battery" };

export function equal(actual: unknown, expected: unknown): void {
  if (actual !== expected) throw new Error(`${actual} is not ${expected}`);
}

export function required<T>(value: T | undefined): T {
  if (value === undefined) throw new Error("the response has no body");
  return value;
}
