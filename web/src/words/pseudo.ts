// A language for tests: the words of the page, accented and some 40 % longer, so that what is not among the words is seen
// at once, and what has no room for a longer language, too.

const kAccented: Record<string, string> = Object.fromEntries([
  ..."aàbƀcçdđeéfƒgĝhĥiîjĵkķlļmɱnñoöpþqǫrŕsštţuûvṽwŵxẋyýzž".matchAll(/([a-z])([^a-z])/gu),
  ..."AÀBƁCÇDĐEÉFƑGĜHĤIÎJĴKĶLĻMṀNÑOÖPÞQǪRŔSŠTŢUÛVṼWŴXẊYÝZŽ".matchAll(/([A-Z])([^A-Z])/gu),
].map(([, plain, accented]) => [plain, accented] as const));

const kMore = 0.4; // of its letters a text gets in addition

// Words become longer by their vowels and their ends; spaces stay where they are, so that lines break as they did. Pure.
export function longer(text: string): string {
  let owed = 0;
  return text.replace(/[A-Za-z]+/g, (word) =>
    [...word].map((letter, i) => {
      owed += kMore;
      const times = /[aeiou]/i.test(letter) || i === word.length - 1 ? Math.floor(owed + 1e-9) : 0;
      owed -= times;
      return (kAccented[letter] ?? letter) + (kAccented[letter.toLowerCase()] ?? "").repeat(times);
    }).join(""));
}

// As longer(), but names and numbers that were put into the text stay.
function around(text: string, given: readonly string[]): string {
  const [first, ...others] = given;
  return first === undefined ? longer(text) : text.split(first).map((part) => around(part, others)).join(first);
}

// All texts of a table, in place: parts of it are known elsewhere already.
export function translate(table: object): void {
  const all = table as Record<string, unknown>;
  for (const [key, value] of Object.entries(all)) {
    if (typeof value === "string") {
      all[key] = longer(value);
    } else if (typeof value === "function") {
      const say = value as (...given: unknown[]) => string;
      all[key] = (...given: unknown[]) => around(say(...given), given.filter((g): g is string => typeof g === "string" && g !== ""));
    } else if (typeof value === "object" && value !== null) {
      translate(value);
    }
  }
}
