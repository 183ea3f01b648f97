// Markdown's grammar, which no first view needs: it is fetched when a chat opens.
import { Lexer, type Token } from "marked";

export const lex = (source: string): Token[] => new Lexer({ gfm: true, breaks: false }).lex(source);
