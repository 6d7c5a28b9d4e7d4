export const NAME = "greeting";
