import { IsIn, IsInt, IsNotEmpty, IsOptional, IsString, Min } from 'class-validator';

export class CreateItemDto {
  @IsString()
  @IsNotEmpty()
  sku: string;

  @IsInt()
  @Min(0)
  quantity: number;

  @IsOptional()
  @IsIn(['shelf', 'pallet'])
  storage?: 'shelf' | 'pallet';
}

export class UpdateItemDto {
  @IsOptional()
  @IsInt()
  @Min(0)
  quantity?: number;

  @IsOptional()
  @IsIn(['shelf', 'pallet'])
  storage?: 'shelf' | 'pallet';
}
