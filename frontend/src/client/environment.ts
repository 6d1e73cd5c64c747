/** Marks a virtual environment of any name (PEP 405). */
const MARK = "pyvenv.cfg";
const INTERPRETER = /^(?:python|pypy)[w\d.]*(?:\.exe)?$/;
const NAMES =
  /^(?:\..*|pyvenv\.cfg|bin|lib|lib64|Scripts|Lib|include|Include|share|etc|man|tcl|pip-selfcheck\.json|CACHEDIR\.TAG)$/;

/** Names in a folder; none if there is no such folder. */
export type NamesIn = (path: string) => Promise<readonly string[]>;

/** Whether a folder with these names is a virtual environment, without a project's own code in it. */
export async function isEnvironment(names: readonly string[], namesIn: NamesIn): Promise<boolean> {
  if (!names.includes(MARK) || !names.every((name) => NAMES.test(name))) return false;
  for (const inner of ["bin", "Scripts"])
    if ((await namesIn(inner)).some((name) => INTERPRETER.test(name))) return true;
  for (const inner of ["lib", "lib64", "Lib"]) if (await hasPackages(inner, namesIn)) return true;
  return false;
}

async function hasPackages(folder: string, namesIn: NamesIn): Promise<boolean> {
  const names = await namesIn(folder);
  if (names.includes("site-packages")) return true;
  for (const name of names)
    if (INTERPRETER.test(name) && (await namesIn(`${folder}/${name}`)).includes("site-packages")) return true;
  return false;
}
