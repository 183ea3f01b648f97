// Addresses in the text of a model. Pure.

export interface SafeLink {
  href: string;
  host: string; // to be shown: where the link really goes
}

// null: it is no address that may be followed. Only http, https and mailto may.
export function safeLink(address: string): SafeLink | null {
  if (address.length > 2048) return null;
  let url: URL;
  try {
    url = new URL(address);
  } catch {
    return null;
  }
  if (url.protocol === "mailto:") return { href: url.href, host: url.pathname };
  if (url.protocol !== "http:" && url.protocol !== "https:") return null;
  if (url.username || url.password) return null;
  return { href: url.href, host: url.host };
}
