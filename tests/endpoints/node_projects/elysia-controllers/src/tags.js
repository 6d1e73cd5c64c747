export const swaggerTags = ['shop']
