/** A part of a URL as people write it. A text in which a percent sign stands for itself comes back as it is. */
export function percentDecoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
