import { IsBoolean, IsInt, IsOptional, IsString } from 'class-validator';

export class CreateSpotDto {
  @IsString()
  code: string;

  @IsInt()
  level: number;
}

export class UpdateSpotDto {
  @IsOptional()
  @IsBoolean()
  occupied?: boolean;

  @IsOptional()
  @IsInt()
  level?: number;
}
