const SECRET = /SECRET|PASSW|(?:^|_)(?:PASS|PWD)(?:_|$)|TOKEN|CREDENTIAL|PRIVATE|API_?KEY|_KEY$/i;

/** Whether a variable of this name is likely to be a secret; only a proposal, which the person can change. */
export function looksSecret(name: string): boolean {
  return SECRET.test(name);
}
