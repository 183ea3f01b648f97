declare const WEB: string;
